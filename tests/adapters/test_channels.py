"""Channels: what goes over the wire, and which failures are worth another attempt."""

import asyncio
import email
import email.policy
import hashlib
import hmac
import socketserver
import sys
import threading
import types
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.apprise import AppriseSettings
from adapters.email import EmailSettings
from adapters.webhook import WebhookSettings
from responder.ports import SECOND, Channel, ChannelSettings, Context, Delivery, Permanent, Rate, Transient
from tests.adapters.conftest import AT, Loopback, Request, free_port, reply, secret, with_context

Serve = Callable[[Callable[[Request], bytes | None]], Loopback]
DELIVERY = Delivery(
    "ntf-7", 2, "opened", b'{"version": 1, "x": "\xc3\xa9"}', "P1: Orders stand still", "Body text, 你好\n."
)


def send(settings: ChannelSettings, delivery: Delivery = DELIVERY) -> None:
    async def work(context: Context) -> None:
        channel: Channel = settings.build(context)  # type: ignore[attr-defined]
        await channel.send(delivery)
        await channel.aclose()

    with_context(work)


def hook(url: str, **settings: Any) -> WebhookSettings:
    return WebhookSettings.model_validate({"kind": "webhook", "url": url, **settings})


def test_a_webhook_posts_the_bytes_with_its_id_attempt_and_signature(serve: Serve) -> None:
    server = serve(lambda r: reply("", "204 No Content"))
    send(hook(server.url + "/in?x=1", secret=secret("k")))
    [request] = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/in?x=1", DELIVERY.body)
    headers = request.headers
    assert (headers["content-type"], headers["x-responder-attempt"]) == ("application/json", "2")
    assert headers["x-responder-notification-id"] == headers["idempotency-key"] == "ntf-7"
    stamp, _, digest = headers["x-responder-signature"].partition(",v1=")
    assert stamp == f"t={AT // SECOND}"
    signed = b"%d.%b" % (AT // SECOND, DELIVERY.body)
    assert digest == hmac.new(b"k", signed, hashlib.sha256).hexdigest()


def test_a_webhook_without_a_secret_signs_nothing(serve: Serve) -> None:
    server = serve(lambda r: reply())
    send(hook(server.url))
    assert "x-responder-signature" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "pause"),
    [
        (reply("", "301 X", Location="http://elsewhere"), Permanent, "http_301", None),
        (reply("no", "400 X"), Permanent, "http_400", None),
        (reply("", "410 X"), Permanent, "http_410", None),
        (reply("", "408 X"), Transient, "http_408", None),
        (reply("", "425 X"), Transient, "http_425", None),
        (reply("", "429 X", Retry_After="7"), Transient, "http_429", 7 * SECOND),
        (reply("", "503 X", Retry_After="Mon, 05 Jan 2026 00:00:30 GMT"), Transient, "http_503", 30 * SECOND),
        (reply("", "500 X"), Transient, "http_500", None),
        (b"", Transient, "cut_off", None),
    ],
)
def test_only_2xx_is_an_acceptance(
    serve: Serve, answer: bytes, kind: type[Exception], reason: str, pause: int | None
) -> None:
    server = serve(lambda r: answer)
    with pytest.raises(kind) as caught:
        send(hook(server.url + "/secret-path"))
    assert caught.value.reason == reason  # type: ignore[attr-defined]
    assert getattr(caught.value, "retry_after", None) == pause
    assert "secret-path" not in str(caught.value)
    assert len(server.requests) == 1


def test_a_receiver_that_answers_a_flood_is_cut_short_and_has_taken_the_message(serve: Serve) -> None:
    send(hook(serve(lambda r: reply(b"x" * 3_000_000)).url))


@pytest.mark.parametrize("length", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_message_is_taken_by_the_head_of_the_answer_though_its_body_never_comes(serve: Serve, length: bytes) -> None:
    """Each attempt more would be a page more for the same incident."""
    server = serve(lambda r: b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n1")
    send(hook(server.url))
    assert len(server.requests) == 1


def test_two_channels_on_one_host_do_not_wait_for_each_other(serve: Serve) -> None:
    server = serve(lambda r: None if r.target == "/hang" else reply())

    async def main() -> None:
        async def bad(context: Context) -> None:
            settings = hook(server.url + "/hang")
            hung = [asyncio.ensure_future(settings.build(context).send(DELIVERY)) for _ in range(8)]
            await asyncio.sleep(0.1)
            other = Context("other", context.http, context.run_blocking)
            async with asyncio.timeout(1):
                await hook(server.url + "/fine").build(other).send(DELIVERY)
            for task in hung:
                task.cancel()
            await asyncio.gather(*hung, return_exceptions=True)

        await asyncio.to_thread(with_context, bad)

    asyncio.run(main())


def test_every_channel_has_bundle_rate_and_repeat() -> None:
    plain = hook("http://a")
    assert (plain.bundle, plain.rate, plain.repeat) == (30 * SECOND, Rate(20, 60 * SECOND), None)
    given = hook("http://a", bundle="1m", rate="5/10s", repeat="4h")
    assert (given.bundle, given.rate, given.repeat) == (60 * SECOND, Rate(5, 10 * SECOND), 4 * 3600 * SECOND)
    assert [hook("http://a", repeat=off).repeat for off in (False, "off", None)] == [None] * 3


@pytest.mark.parametrize("bad", [{"rate": "20"}, {"rate": "0/1m"}, {"bundle": 30}, {"repeat": "often"}, {"ulr": "x"}])
def test_a_channel_setting_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        hook("http://a", **bad)


# Mail, to a real SMTP server of a few lines.


class Mailbox(socketserver.ThreadingTCPServer):
    """Takes mail; ``answers`` gives other words than 250 for a command."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers: dict[str, str] | None = None, extensions: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Talk)
        self.answers, self.extensions = answers or {}, extensions
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.said: list[str] = []
        self.url = f"smtp://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Talk(socketserver.StreamRequestHandler):
    server: Mailbox

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self) -> None:
        sender, recipients = "", list[str]()
        banner = self.server.answers.get("banner", "220 here")
        if banner == "hang up":
            return
        self.say(banner)
        while line := self.rfile.readline().decode().strip():
            self.server.said.append(line)
            verb = line.partition(" ")[0].upper()
            answer = self.server.answers.get(line) or self.server.answers.get(verb)
            if answer == "hang":
                self.rfile.readline()
                return
            if verb == "EHLO" and not answer:
                self.say("\r\n".join(["250-here", *(f"250-{e}" for e in self.server.extensions), "250 8BITMIME"]))
                continue
            if verb == "MAIL":
                sender = line
            if verb == "RCPT" and not answer:
                recipients.append(line.partition("<")[2].partition(">")[0])
            if verb == "DATA" and not answer:
                self.say("354 go on")
                data = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    data += part.removeprefix(b".") if part.startswith(b"..") else part
                self.server.mails.append((sender, recipients, data))
                answer = self.server.answers.get("after DATA")
            if answer == "hang up":
                return
            self.say(answer or ("221 bye" if verb == "QUIT" else "235 ok" if verb == "AUTH" else "250 ok"))
            if verb == "QUIT":
                return


@pytest.fixture
def mailbox() -> Iterator[Callable[..., Mailbox]]:
    boxes: list[Mailbox] = []

    def start(*args: Any, **kwargs: Any) -> Mailbox:
        boxes.append(Mailbox(*args, **kwargs))
        return boxes[-1]

    yield start
    for box in boxes:
        box.shutdown()
        box.server_close()


def mail(url: str, **settings: Any) -> EmailSettings:
    return EmailSettings.model_validate({"kind": "email", "to": ["desk@example.org"], "smtp": url, **settings})


def read(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)


def test_a_mail_arrives_whole_in_any_script(mailbox: Callable[..., Mailbox]) -> None:
    box = mailbox()
    send(mail(box.url, to=["desk@example.org", "noc@example.org"], **{"from": "alerts@example.org"}))
    [(sender, recipients, raw)] = box.mails
    assert sender.startswith("mail FROM:<alerts@example.org>")
    assert recipients == ["desk@example.org", "noc@example.org"]
    message = read(raw)
    assert (message["Subject"], message["To"]) == ("P1: Orders stand still", "desk@example.org, noc@example.org")
    assert message.get_content().split() == ["Body", "text,", "你好", "."]
    assert message["Date"].datetime.isoformat() == "2026-01-05T00:00:00+00:00"
    assert message["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    "title",
    [
        "[P1] 75% of the resolution time is used: order-db: DiskFull happened – 订单 (INC-2)",
        " ".join(["[P2]", *["订单", "物流", "停止"] * 15]),
        "[P3] only ASCII, and so long that it does not stand on one line: " + "the queue grows " * 6,
    ],
)
def test_a_subject_arrives_as_it_was_written(mailbox: Callable[..., Mailbox], title: str) -> None:
    box = mailbox()
    send(mail(box.url), Delivery("n", 1, "opened", b"", title, "x"))
    [(_, _, raw)] = box.mails
    assert read(raw)["Subject"] == title.strip()[:200]
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78


def test_a_retry_has_the_same_message_id(mailbox: Callable[..., Mailbox]) -> None:
    box = mailbox()
    for attempt in (1, 2):
        send(mail(box.url), Delivery("ntf-7", attempt, "opened", b"", "t", "x"))
    first, second = (read(raw) for _, _, raw in box.mails)
    assert first["Message-ID"] == second["Message-ID"] == "<ntf-7@localhost>"
    assert (first["X-Responder-Attempt"], second["X-Responder-Attempt"]) == ("1", "2")


@pytest.mark.parametrize(
    "title", ["a\r\nBcc: evil@example.org", "a\n\nbody", "a\x00b", "a\u2028b", "\ud800 x", "é" * 5000, ""]
)
def test_no_title_can_add_a_header(mailbox: Callable[..., Mailbox], title: str) -> None:
    box = mailbox()
    send(mail(box.url), Delivery("a\r\nX: y", 1, "opened", b"", title, "text \ud800"))
    [(_, recipients, raw)] = box.mails
    message = read(raw)
    assert recipients == ["desk@example.org"]
    assert message["Bcc"] is None and message["X"] is None
    assert len(message["Subject"] or "") <= 200


@pytest.mark.parametrize(
    ("answers", "kind", "reason"),
    [
        ({"RCPT": "550 no such user"}, Permanent, "smtp_550"),
        ({"RCPT": "450 greylisted"}, Transient, "smtp_450"),
        ({"MAIL": "552 too much"}, Permanent, "smtp_552"),
        ({"after DATA": "451 later"}, Transient, "smtp_451"),
        ({"after DATA": "554 spam"}, Permanent, "smtp_554"),
        ({"banner": "421 busy"}, Transient, "smtp_421"),
        ({"after DATA": "hang up"}, Transient, "cut_off"),
        ({"after DATA": "what?"}, Transient, "protocol"),
        ({"banner": "hang up"}, Transient, "unreachable"),
        ({"EHLO": "hang up"}, Transient, "unreachable"),
    ],
)
def test_4xx_may_be_tried_again_and_5xx_not(
    mailbox: Callable[..., Mailbox], answers: dict[str, str], kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind) as caught:
        send(mail(mailbox(answers).url))
    assert caught.value.reason == reason  # type: ignore[attr-defined]


def test_one_refused_recipient_is_no_silent_loss(mailbox: Callable[..., Mailbox]) -> None:
    box = mailbox({"rcpt TO:<b@example.org>": "550 who?"})
    with pytest.raises(Permanent, match=r"b@example\.org: 550 who") as caught:
        send(mail(box.url, to=["a@example.org", "b@example.org"]))
    assert [recipients for _, recipients, _ in box.mails] == [["a@example.org"]]
    assert caught.value.reason == "partly_refused", "a@ has the mail, and is to hear of the end"


def test_a_mail_that_was_taken_is_sent_even_if_the_goodbye_fails(mailbox: Callable[..., Mailbox]) -> None:
    box = mailbox({"QUIT": "hang"})
    send(mail(box.url))
    assert len(box.mails) == 1


def test_a_mail_server_that_is_silent_or_gone_is_transient(
    mailbox: Callable[..., Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.email._TIMEOUT", 0.2)
    with pytest.raises(Transient) as caught:
        send(mail(mailbox({"EHLO": "hang"}).url))
    assert caught.value.reason == "timeout"
    with pytest.raises(Transient, match="cannot reach"):
        send(mail(f"smtp://127.0.0.1:{free_port()}"))


def test_a_password_never_goes_in_clear_unless_told_so(mailbox: Callable[..., Mailbox]) -> None:
    box = mailbox(extensions=("AUTH PLAIN",))
    with pytest.raises(Permanent, match="STARTTLS"):
        send(mail(box.url, user="me", password=secret("pw")))
    assert not any("AUTH" in line.upper() for line in box.said)
    send(mail(box.url, user="me", password=secret("pw"), starttls=False))
    assert any(line.startswith("AUTH PLAIN") for line in box.said)


def test_required_starttls_that_is_not_offered_is_an_error(mailbox: Callable[..., Mailbox]) -> None:
    with pytest.raises(Permanent, match="STARTTLS"):
        send(mail(mailbox().url, starttls=True))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"to": []}, "at least 1"),
        ({"to": ["desk"]}, "not a mail address"),
        ({"to": ["a@b\r\nBcc: c@d"]}, "not a mail address"),
        ({"smtp": "http://a"}, "mail server"),
        ({"smtp": "smtp://"}, "URL|mail server"),
        ({"user": "a"}, "needs a password"),
        ({"password": secret("a")}, "needs the user"),
        ({"from": "nobody"}, "not a mail address"),
    ],
)
def test_a_mail_setting_that_makes_no_sense_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        mail(**({"url": "smtp://127.0.0.1"} | {"url": settings.pop("smtp", "smtp://127.0.0.1")} | settings))


# Apprise, which need not be installed.


def fake_apprise(monkeypatch: pytest.MonkeyPatch, taken: bool | None, known: bool = True) -> list[dict[str, str]]:
    sent: list[dict[str, str]] = []

    class Apprise:
        def add(self, url: str) -> bool:
            return known

        def notify(self, **message: str) -> bool | None:
            sent.append(message)
            return taken

    module = types.ModuleType("apprise")
    module.Apprise = Apprise  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "apprise", module)
    return sent


APPRISE = AppriseSettings.model_validate({"kind": "apprise", "url": "json://127.0.0.1"})


def test_apprise_gets_title_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = fake_apprise(monkeypatch, taken=True)
    send(APPRISE)
    assert sent == [{"title": DELIVERY.title, "body": DELIVERY.text}]


@pytest.mark.parametrize(("taken", "kind"), [(False, Transient), (None, Permanent)])
def test_what_apprise_does_not_take_is_an_error(
    monkeypatch: pytest.MonkeyPatch, taken: bool | None, kind: type[Exception]
) -> None:
    fake_apprise(monkeypatch, taken)
    with pytest.raises(kind):
        send(APPRISE)


def test_an_apprise_url_of_no_service_is_found_when_the_channel_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apprise(monkeypatch, taken=True, known=False)
    with pytest.raises(ValueError, match="no such service"):
        send(APPRISE)


def test_apprise_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ValueError, match=r"incident-responder\[notify\]"):
        send(APPRISE)
