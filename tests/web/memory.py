"""The Alertmanager API over a daemon that is nothing but memory."""

import json as json_
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from responder.config.regexes import compile_regex
from responder.core.alert import Alert, observe
from responder.core.rule import Holds
from responder.core.signal import Instant, Signal
from responder.core.silence import Silence, SilenceNotFound, Silences, expire, set_silence
from responder.web.alertmanager import AlertmanagerApi, Unavailable
from responder.web.decode import Decoder
from responder.web.http import Message, Receive, Scope, Send, send_response

START: Instant = 1_767_571_200_000_000
"""2026-01-05T00:00:00Z"""


class Memory:
    """Keeps what is submitted; time moves only when the test says so."""

    def __init__(self, now: Instant = START) -> None:
        self.at = self.started_at = now
        self.known: dict[int, Alert] = {}
        self.kept: dict[str, Silence] = {}
        self.names: dict[str, str] = {}
        """Value of ``team`` -> receiver."""
        self.down = False

    def now(self) -> Instant:
        return self.at

    def alerts(self) -> Sequence[Alert]:
        return list(self.known.values())

    def silences(self) -> Silences:
        return Silences(self.kept.values(), compile_regex)

    def receivers(self) -> Sequence[str]:
        return [*self.names.values(), "none"]

    def receivers_of(self, alert: Alert) -> Sequence[str]:
        name = self.names.get(alert.labels.get("team", ""))
        return ["none"] if name is None else [name]

    def group_by(self, receiver: str) -> Sequence[str]:
        return () if receiver == "none" else ("team", "cluster")

    def compile_regex(self, regex: str) -> Holds:
        return compile_regex(regex)

    def version(self) -> Mapping[str, str]:
        return {"version": "1.2.3", "revision": "abc"}

    def config_text(self) -> str:
        return "rules: []\n"

    async def submit_alerts(self, signals: Sequence[Signal]) -> None:
        if self.down:
            raise Unavailable("the store does not answer")
        for signal in signals:
            _, alert = observe(self.known.get(signal.identity), signal, self.at)
            if alert is not None:
                self.known[signal.identity] = alert

    async def submit_silence(self, posted: Silence) -> str:
        written, id = set_silence(self.kept.get(posted.id), posted, self.at, str(uuid.uuid4()))
        self.kept.update((silence.id, silence) for silence in written)
        return id

    async def expire_silence(self, id: str) -> None:
        if id not in self.kept:
            raise SilenceNotFound
        self.kept[id] = expire(self.kept[id], self.at)


class Answer(msgspec.Struct):
    """What came back over ASGI."""

    status: int
    headers: dict[str, str]
    body: bytes
    pieces: int

    @property
    def json(self) -> Any:
        return json_.loads(self.body)


class Client:
    """Speaks raw ASGI to the API."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.api = AlertmanagerApi(memory, Decoder())

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_response(await self.api.respond(scope, receive), send)

    async def __call__(
        self,
        method: str,
        path: str,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; its body goes in two pieces."""
        content = b"" if json is None else json_.dumps(json).encode()
        content = content if body is None else body
        given = {"content-type": "application/json", "content-length": str(len(content))} if content else {}
        given.update(headers or {})
        path, _, query = path.partition("?")
        scope: Scope = {
            "type": "http", "method": method, "path": path, "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in given.items()],
        }  # fmt: skip
        half = len(content) // 2
        incoming = iter([{"body": content[:half], "more_body": True}, {"body": content[half:]}])
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", **next(incoming)}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return Answer(
            sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]},
            b"".join(m.get("body", b"") for m in sent[1:]), len(sent) - 1,
        )  # fmt: skip
