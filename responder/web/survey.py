"""``/s/{token}``: the page on which a customer gives a score, once. The token is all one needs."""

from html import escape
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from responder.core.desk import Asked
from responder.core.incident import Incident
from responder.core.satisfaction import SCORES, digest
from responder.handlers.commands import NotFound, Rate, Spent
from responder.intake import Unavailable
from responder.web import http
from responder.web.endpoint import Backend
from responder.web.http import Receive, Response, Scope

LIMIT: Final = 32 * 1024
"""Bytes of a form."""
COMMENT: Final = 2000
"""Characters of a comment; more are cut."""
HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
)
TEXTS: Final = {
    "en": {
        "title": "How did we do?",
        "ask": "How satisfied are you with how this was handled?",
        "scores": ("very dissatisfied", "dissatisfied", "neither", "satisfied", "very satisfied"),
        "comment": "Would you like to say more? (optional)",
        "send": "Send",
        "thanks": "Thank you. Your answer has been stored.",
        "used": "This link has been used. Thank you for your answer.",
        "expired": "This link has expired.",
        "unknown": "This link is not known.",
        "choose": "Please choose a score from 1 to 5.",
        "down": "Your answer could not be stored just now. Please try again in a minute.",
        "wrong": "This could not be read. Please use the form.",
    },
    "zh": {
        "title": "满意度调查",
        "ask": "您对本次处理是否满意？",
        "scores": ("非常不满意", "不满意", "一般", "满意", "非常满意"),
        "comment": "您还有什么意见？（选填）",
        "send": "提交",
        "thanks": "谢谢！您的评价已保存。",
        "used": "此链接已使用过，感谢您的评价。",
        "expired": "此链接已过期。",
        "unknown": "此链接无效。",
        "choose": "请选择 1 到 5 分。",
        "down": "暂时无法保存您的评价，请稍后再试。",
        "wrong": "无法读取，请使用表单提交。",
    },
}  # fmt: skip
_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}"
    "fieldset{border:1px solid #767676;border-radius:.3rem}label{display:block;padding:.4rem 0}"
    "textarea{width:100%;box-sizing:border-box;font:inherit}button{font:inherit;padding:.6rem 2rem}"
)


class Survey:
    """Answers GET with the form, which changes nothing, and POST by storing the answer."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def respond(self, scope: Scope, receive: Receive) -> Response:
        """Return the page; errors are pages too, in the language that the browser asks for."""
        token = scope["path"].removeprefix("/s/")
        text: dict[str, Any] = TEXTS["zh" if _wants_chinese(http.header(scope, b"accept-language")) else "en"]
        if scope["method"] in ("GET", "HEAD"):
            return await self._form(token, text)
        if scope["method"] != "POST":
            refused = _page(text, 405, text["wrong"])
            refused.headers += ((b"allow", b"GET, HEAD, POST"),)
            return refused
        media_type = http.header(scope, b"content-type").partition(";")[0].strip().lower()
        if media_type != "application/x-www-form-urlencoded":
            return _page(text, 415, text["wrong"])
        try:
            body = await http.read_body(scope, receive, LIMIT)
        except http.Refused as error:
            return _page(text, error.status, text["wrong"])
        return await self._rate(token, body, text)

    async def _form(self, token: str, text: dict[str, Any]) -> Response:
        try:
            asked, row = await self._backend.read(self._asked, digest(token))
        except Unavailable:
            return _page(text, 503, text["down"])
        if asked is None or row is None:
            return _page(text, 404, text["unknown"])
        if asked.rated_at is not None or asked.expires_at <= self._backend.now():
            return _page(text, 410, text["used" if asked.rated_at is not None else "expired"])
        return _html(text, 200, _question(text, row.title))

    async def _rate(self, token: str, body: bytes, text: dict[str, Any]) -> Response:
        try:
            fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10)
        except ValueError:
            return _page(text, 400, text["wrong"])
        score = fields.get("score", [""])[-1]
        if score not in map(str, SCORES):
            return _page(text, 422, text["choose"])
        comment = fields.get("comment", [""])[-1].strip()[:COMMENT]
        try:
            await self._backend.submit(Rate(digest(token), int(score), comment))
        except NotFound:
            return _page(text, 404, text["unknown"])
        except Spent as spent:
            return _page(text, 410, text[str(spent)])
        except Unavailable:
            return _page(text, 503, text["down"])
        return _page(text, 200, text["thanks"])

    def _asked(self, token_hash: str) -> tuple[Asked | None, Incident | None]:
        """Look up by the digest, so that the time it takes tells nothing of a token."""
        reader = self._backend.reader
        asked = reader.asked_of(token_hash)
        return asked, reader.incident(asked.incident) if asked is not None else None


def _wants_chinese(accepted: str) -> bool:
    """Say whether Chinese stands before English in ``Accept-Language``; browsers list what they like best first."""
    wanted = [part.strip().lower()[:2] for part in accepted.split(",")]
    return next((name for name in wanted if name in TEXTS), "en") == "zh"


def _question(text: dict[str, Any], title: str) -> str:
    choices = "".join(
        f'<label><input type="radio" name="score" value="{score}" required> {score} – {escape(words)}</label>'
        for score, words in zip(SCORES, text["scores"], strict=True)
    )
    return (
        f"<p>{escape(title)}</p>"
        f'<form method="post"><fieldset><legend>{escape(text["ask"])}</legend>{choices}</fieldset>'
        f'<p><label for="comment">{escape(text["comment"])}</label>'
        f'<textarea id="comment" name="comment" rows="4" maxlength="{COMMENT}"></textarea></p>'
        f'<p><button type="submit">{escape(text["send"])}</button></p></form>'
    )


def _page(text: dict[str, Any], status: int, words: str) -> Response:
    return _html(text, status, f'<p role="status">{escape(words)}</p>')


def _html(text: dict[str, Any], status: int, inner: str) -> Response:
    language = "zh-CN" if text is TEXTS["zh"] else "en"
    title = escape(text["title"])
    page = (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>{inner}</main></body></html>"
    )
    return Response(HTTPStatus(status), page.encode(), "text/html; charset=utf-8", HEADERS)
