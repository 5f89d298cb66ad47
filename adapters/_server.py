"""What the settings of every source that asks an HTTP server have in common."""

from typing import Annotated, Final, Self, TypeAlias

from pydantic import AfterValidator, Field, field_validator, model_validator

from adapters._http import Client, Tls, basic, encoded
from responder.ports import SECOND, Context, Duration, HttpUrl, PolledSettings, Secret, SettingsModel, Span

_BOTH: Final = "give a token, or a username with a password, not both"


def _at_least_a_second(span: Span) -> Span:
    if span < SECOND:
        raise ValueError("must be at least 1s")
    return span


Every: TypeAlias = Annotated[Duration, AfterValidator(_at_least_a_second)]
"""How often a source is asked."""


class TlsSettings(SettingsModel):
    """Files of the TLS connection; without them the system's authorities are trusted."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs the cert_file it belongs to")
        return self


class ServerSettings(PolledSettings):
    """Where the server is and how it knows us."""

    url: HttpUrl
    username: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    """Sent as ``Authorization: Bearer``."""
    headers: dict[str, str] = Field(default_factory=dict)
    tls: TlsSettings = TlsSettings()

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        encoded(headers)
        return headers

    @model_validator(mode="after")
    def _one_way_to_be_known(self) -> Self:
        if self.token is not None and (self.username is not None or self.password is not None):
            raise ValueError(_BOTH)
        if self.password is not None and self.username is None:
            raise ValueError("password needs the username it belongs to")
        return self

    def client(self, context: Context, apart: bool = False) -> Client:
        """Return the client for this server; *apart*: with connections of its own, each used once.

        Raises:
            ValueError: The URL, a header or a TLS file is no good.
        """
        tls = Tls(self.tls.ca_file, self.tls.cert_file, self.tls.key_file)
        known = self._authorization if self.token is not None or self.username is not None else None
        client: Client = context.http(
            context.name, self.url, headers=self.headers, tls=tls, apart=apart, authorization=known
        )
        return client

    def _authorization(self) -> str:
        if self.token is not None:
            return f"Bearer {self.token.current()}"
        return basic(self.username or "", self.password.current() if self.password else "")
