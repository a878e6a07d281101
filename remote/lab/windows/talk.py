"""One connection to a practice Windows host: its login, the sealing, and what comes over it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

from remote.lab.windows import wsman
from remote.lab.windows.actions import Service
from remote.lab.windows.conversation import Call, HangUp, Reply
from remote.lab.windows.faults import Fault, Kind
from remote.lab.windows.login import BadMessage, Login, Unauthorized
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.wsman import Request

_PATH: Final = "/wsman"
_SOAP: Final = "application/soap+xml;charset=UTF-8"
_FOREVER_S: Final = 3600.0
_VERSION: Final = "10.0.20348"
"""Of Windows Server 2022."""


@dataclass(slots=True)
class Seen:
    """What has come over all connections of a host."""

    calls: int = 0
    """HTTP requests, those of logins too."""
    logins: int = 0
    """Empty messages: those of logins, and of whoever only looks."""
    messages: list[str] = field(default_factory=list)
    """The actions of the messages, `Create`, in order."""


class Talk:
    """One connection: who is logged in on it, and the answers to what comes."""

    def __init__(
        self, service: Service, mishaps: Mishaps, seen: Seen, *, tls: bool, peer: Mapping[str, Any] | None = None
    ) -> None:
        self._service, self._mishaps, self._seen = service, mishaps, seen
        self._login = Login(service.doors, tls=tls, certificate_user=common_name(peer or {}))
        self._answered = 0

    async def answer(self, call: Call) -> Reply:
        """Return the answer to one request, or raise HangUp."""
        if self._answered == self._mishaps.messages_per_connection:
            raise HangUp
        return replace(await self._answer(call), clock_ahead_s=self._mishaps.clock_ahead_s)

    async def _answer(self, call: Call) -> Reply:
        self._seen.calls += 1
        if call.method != "POST" or call.target.partition("?")[0].rstrip("/") != _PATH:
            return Reply(status=HTTPStatus.NOT_FOUND)
        if "WSMANIDENTIFY" in call.headers:
            return Reply(status=HTTPStatus.OK, body=wsman.identified(_VERSION), content_type=_SOAP)
        sealed_as = str(call.headers.get("Content-Type", ""))
        self._seen.logins += not call.body
        if not call.body and self._seen.logins in self._mishaps.drop_login:
            raise HangUp
        try:
            challenge = self._login.authenticate(call.headers)
            data = self._login.open(sealed_as, call.body)
        except Unauthorized as missing:
            return Reply(status=HTTPStatus.UNAUTHORIZED, challenges=missing.challenges)
        except BadMessage:
            return Reply(status=HTTPStatus.BAD_REQUEST)
        challenges = (challenge,) if challenge else ()
        if not data:
            return Reply(status=HTTPStatus.OK, challenges=challenges)
        self._seen.messages.append("")
        number = len(self._seen.messages)
        if number in self._mishaps.bad_mic:
            return Reply(status=HTTPStatus.BAD_REQUEST)
        status, text = await self._acted(number, data)
        self._answered += 1
        if number in self._mishaps.unclear:
            return Reply(status=self._mishaps.unclear_as)
        content_type, body = self._login.seal(text, like=sealed_as)
        return Reply(
            status=status,
            body=body,
            content_type=content_type,
            challenges=challenges,
            last=self._mishaps.closes,
            cut_short=number in self._mishaps.cut_short,
        )

    async def _acted(self, number: int, data: bytes) -> tuple[HTTPStatus, bytes]:
        """Act on a message, with what is to go wrong with it, and return status and text of the answer."""
        mishaps = self._mishaps
        if number in mishaps.drop_before:
            raise HangUp
        if number in mishaps.reboot:
            self._service.shells.lose_all()
        await asyncio.sleep(_FOREVER_S if number in mishaps.hang else mishaps.delay_s)
        try:
            request = wsman.read_request(data)
        except wsman.NotWsman as error:
            return HTTPStatus.INTERNAL_SERVER_ERROR, Fault(Kind.SCHEMA, str(error)).envelope("")
        self._seen.messages[number - 1] = request.action.rsplit("/", 1)[-1]
        try:
            answer = HTTPStatus.OK, await self._done(request, number, len(data))
        except Fault as fault:
            answer = HTTPStatus.INTERNAL_SERVER_ERROR, fault.said_in(self._service.language).envelope(request.message_id)
        if number in mishaps.behind:
            await mishaps.behind[number]()
        if number in mishaps.drop_after:
            raise HangUp
        return answer

    async def _done(self, request: Request, number: int, size: int) -> bytes:
        if size > self._service.limits.max_envelope_bytes:
            raise Fault(Kind.TOO_LARGE, "The request is larger than MaxEnvelopeSizekb allows.")
        if (fault := self._mishaps.faults.get(number)) is not None:
            words = "This practice host was told to answer so: {}."
            raise fault if isinstance(fault, Fault) else Fault(fault, words.format(fault.name))
        assert self._login.user is not None, "authenticate raises for nobody"
        return await self._service.act(request, self._login.user)


def common_name(certificate: Mapping[str, Any]) -> str | None:
    """Return the common name in a certificate as `ssl.SSLSocket.getpeercert` gives it; None where there is none."""
    names = [str(value) for row in certificate.get("subject", ()) for key, value in row if key == "commonName"]
    return names[0] if names else None
