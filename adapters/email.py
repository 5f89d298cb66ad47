"""Messages as mail over SMTP, in a thread: smtplib blocks."""

import contextlib
import re
import smtplib
import socket
import ssl
from email.errors import HeaderParseError
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, Policy
from typing import Annotated, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from adapters._http import Tls, tls_context
from responder.ports import (
    ChannelSettings,
    Context,
    Delivery,
    Permanent,
    Secret,
    Transient,
    Url,
    to_datetime,
)

_TIMEOUT: Final = 10.0
_SUBJECT_LENGTH: Final = 200
_PORTS: Final = {"smtp": 25, "smtps": 465}


def _address(text: str) -> str:
    try:
        address = Address(addr_spec=text)
    except (HeaderParseError, ValueError, IndexError):
        address = None
    if address is None or not address.domain or not text.isascii():
        raise ValueError(f"{text!r} is not a mail address such as desk@example.org")
    return text


def _server(url: Secret) -> Secret:
    parts = urlsplit(url.reveal())
    if parts.scheme not in _PORTS or not parts.hostname or parts.port == 0 or parts.path.strip("/"):
        raise ValueError("not a mail server such as smtp://host:25 or smtps://user@host")
    return url


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


MailAddress = Annotated[str, AfterValidator(_address)]


class EmailSettings(ChannelSettings):
    """Who gets the mail, and the server that takes it."""

    kind: Literal["email"] = "email"
    to: Annotated[list[MailAddress], BeforeValidator(_listed), Field(min_length=1)]
    smtp: Annotated[Url, AfterValidator(_server)]
    """``smtp://[user@]host[:port]``, or ``smtps://`` for TLS from the first byte."""
    sender: MailAddress = Field(default="responder@localhost", alias="from")
    user: str | None = None
    password: Secret | None = None
    starttls: bool | None = None
    """None: when the server offers it; a password never goes without, unless this is false."""

    @model_validator(mode="after")
    def _user_and_password(self) -> Self:
        parts = urlsplit(self.smtp.reveal())
        if (self.user or parts.username) and self.password is None and not parts.password:
            raise ValueError("the user needs a password: password_env or password_file")
        if self.password is not None and not (self.user or parts.username):
            raise ValueError("password needs the user it belongs to")
        return self

    def build(self, context: Context) -> "EmailChannel":
        return EmailChannel(self, context)


class _Subject(str):
    """A subject whose blanks arrive: what ``EmailMessage`` folds loses those between two words that are not ASCII."""

    name: Final = "Subject"  # by this and ``fold`` it takes a header as one that is made already

    def fold(self, *, policy: Policy) -> str:
        folded = Header(self, header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {folded}{policy.linesep}"


class EmailChannel:
    """Sends each message to all recipients in one transaction."""

    def __init__(self, settings: EmailSettings, context: Context) -> None:
        parts = urlsplit(settings.smtp.reveal())
        assert parts.hostname is not None
        self._settings, self._context = settings, context
        self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._implicit_tls = parts.scheme == "smtps"
        self._user = settings.user or unquote(parts.username or "")
        self._password = settings.password.reveal() if settings.password else unquote(parts.password or "")
        self._tls = None if settings.starttls is False and not self._implicit_tls else tls_context(Tls())

    async def send(self, delivery: Delivery) -> None:
        """Hand the mail to the server; the ``Message-ID`` is the same at every attempt.

        Raises:
            Transient: Unreachable, silent, or a 4xx answer.
            Permanent: A 5xx answer, or a recipient was refused.

        Once the server may have the mail, a connection that is lost is ``cut_off``, no answer to be
        understood is ``protocol``, and when only some recipients were refused it is ``partly_refused``.
        """
        await self._context.run_blocking(self._hand_over, self._message(delivery))

    async def aclose(self) -> None:
        """Nothing to give back: each message has its own connection."""

    def _message(self, delivery: Delivery) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._settings.sender
        message["To"] = ", ".join(self._settings.to)
        message["Subject"] = _Subject(_one_line(delivery.title)[:_SUBJECT_LENGTH])
        message["Date"] = to_datetime(self._context.now())
        domain = self._settings.sender.rpartition("@")[2]
        message["Message-ID"] = f"<{_token(delivery.notification_id)}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Responder-Notification-Id"] = _token(delivery.notification_id)
        message["X-Responder-Attempt"] = str(delivery.attempt)
        message.set_content(delivery.text.encode("utf-8", "replace").decode(), charset="utf-8", cte="base64")
        return message

    def _hand_over(self, message: EmailMessage) -> None:
        server = f"{self._host}:{self._port}"
        connected = False
        try:
            smtp = self._connect()
            try:
                self._log_in(smtp)
                connected = True
                refused = smtp.send_message(message)
                _say_goodbye(smtp)
            finally:
                smtp.close()
        except smtplib.SMTPRecipientsRefused as error:
            raise _answered(*_refusal(server, error.recipients)) from None
        except smtplib.SMTPResponseException as error:
            raise _answered(f"{server} answered {_words(error.smtp_code, error.smtp_error)}", error.smtp_code) from None
        except smtplib.SMTPNotSupportedError as error:
            raise Permanent(f"{server}: {error}", "rejected") from None
        except ssl.SSLError as error:
            words = f"{error}; `starttls: false` sends without TLS"
            raise Transient(f"no trusted connection to {server}: {words}", "tls") from None
        except (OSError, smtplib.SMTPException) as error:
            if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):  # smtplib wraps some
                raise Transient(f"{server} did not answer within {_TIMEOUT:g} s", "timeout") from None
            if connected:
                raise Transient(f"{server}: the connection ended before the answer did", "cut_off") from None
            raise Transient(f"cannot reach {server}: {_one_line(str(error))}", "unreachable") from None
        if refused:  # the others have the mail, and get it again rather than nobody
            words, code = _refusal(server, refused)
            raise (Transient if code < 500 else Permanent)(words, "partly_refused")

    def _connect(self) -> smtplib.SMTP:
        name = socket.gethostname()  # smtplib would ask a name server for the full one, and may wait
        if self._implicit_tls:
            return smtplib.SMTP_SSL(self._host, self._port, name, timeout=_TIMEOUT, context=self._tls)
        return smtplib.SMTP(self._host, self._port, name, timeout=_TIMEOUT)

    def _log_in(self, smtp: smtplib.SMTP) -> None:
        smtp.ehlo_or_helo_if_needed()
        encrypted = self._implicit_tls
        if not encrypted and self._tls is not None and (self._settings.starttls or smtp.has_extn("starttls")):
            smtp.starttls(context=self._tls)
            encrypted = True
        if self._user:
            if not encrypted and self._settings.starttls is None:
                raise smtplib.SMTPNotSupportedError(
                    "no STARTTLS is offered, and the password is not sent in clear unless `starttls: false` says so"
                )
            smtp.login(self._user, self._password)


def _say_goodbye(smtp: smtplib.SMTP) -> None:
    """End politely; the mail is taken, so nothing that goes wrong here may send it again."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        if smtp.sock is not None:
            smtp.sock.settimeout(1.0)
        smtp.quit()


def _refusal(server: str, refused: dict[str, tuple[int, bytes]]) -> tuple[str, int]:
    """Return the words and the gravest code of refused recipients."""
    words = "; ".join(f"{address}: {_words(*answer)}" for address, answer in refused.items())
    return f"{server} refused {words}", max(code for code, _ in refused.values())


def _answered(message: str, code: int) -> Transient | Permanent:
    if code < 0:  # smtplib's own, for an answer without a number
        return Transient(message, "protocol")
    if 400 <= code < 500:
        return Transient(message, f"smtp_{code}")
    return Permanent(message, f"smtp_{code}")


def _words(code: int, text: bytes | str) -> str:
    return f"{code} {_one_line(text.decode('utf-8', 'replace') if isinstance(text, bytes) else text)[:200]}"


def _one_line(text: str) -> str:
    """Return a text that can't end a header: control characters and lone surrogates become spaces."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", text).split())


def _token(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)
