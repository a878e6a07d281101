"""
LongarmError                    (inventory/errors.py)
`- RemoteError                  .host
   |- ConnectFailed             unreachable: the only kind that may be retried
   |  |- AlgorithmsRefused      .offered: nothing in common with what the host can, before anything was sent
   |  |- ProxyFailed            .proxy: what stands between us and the host did not connect us
   |  `- JumpFailed             .via: the host that it is reached through was not reached, or did not let us in
   |- HostKeyRefused            .offered .known (fingerprints)
   |  |- HostCertificateRefused .certificate (its name) .foreign (no authority of ours)
   |  `- TlsRefused            the certificate of a Windows host is neither enrolled nor of an authority that counts
   |- AuthenticationRefused     .tried .offered_methods
   |- CredentialUnusable        a reference that gives no secret: missing file, wrong passphrase, bad modes
   |- CredentialBlocked         the breaker is open: the credential was rejected too often in this run
   |- ConnectionLost            before there was a session: a session that is cut off brings its answers, the rest lost
   |- NoTerminal                the host gives none (remote/terminal.py)
   |- TransferFailed            .path .reason .part: a file did not arrive (remote/files/transfer.py)
   `- DeadlineExceeded          .deadline_s; before there was a session, likewise
"""

from __future__ import annotations

from collections.abc import Mapping

from inventory.errors import LongarmError, Text
from inventory.names import shown
from inventory.ssh_settings import allowable, line_for

_MOST_NAMED = 8


class RemoteError(LongarmError):
    """Something went wrong between us and one host."""

    def __init__(self, host: str, text: Text, hint: Text | None = None) -> None:
        self.host = host
        super().__init__(text, hint)


class ConnectFailed(RemoteError):
    """No connection: nothing was sent that could have had an effect."""

    not_spoken = False
    """It answered, and our library could not speak with it: another one may."""

    def __init__(self, host: str, reason: Text | str, hint: Text | None = None) -> None:
        super().__init__(host, Text("no connection: {reason}", reason=reason), hint)


class AlgorithmsRefused(ConnectFailed):
    """The host offers no algorithm of some kind that we would use; `offered` are its own, by kind (hostile text)."""

    not_spoken = True

    def __init__(self, host: str, offered: Mapping[str, tuple[str, ...]]) -> None:
        self.offered = offered
        needed = {kind: best for kind, names in offered.items() if (best := allowable(kind, names))}
        hint = Text("if it cannot be updated, allow this in the inventory, for it alone: {line}", line=line_for(needed))
        words = "; ".join(f"{kind} {', '.join(map(shown, names[:_MOST_NAMED]))}" for kind, names in offered.items())
        text = Text("it offers nothing that is safe: {offered}", offered=words)
        super().__init__(host, text, hint if needed.keys() == offered.keys() else None)


class ProxyFailed(ConnectFailed):
    """The proxy (or the program) that stands between us and the host did not connect us."""

    def __init__(self, host: str, proxy: str, reason: Text, hint: Text | None = None) -> None:
        self.proxy = proxy
        RemoteError.__init__(self, host, Text("via proxy {proxy}: {reason}", proxy=proxy, reason=reason), hint)


class JumpFailed(ConnectFailed):
    """The host that this one is reached through failed us; `reason` and `hint` are what was told of that one."""

    def __init__(self, host: str, via: str, reason: Text, hint: Text | None = None) -> None:
        self.via = via
        hint = hint or Text("longarm doctor --host {host}", host=via)
        RemoteError.__init__(self, host, Text("via {via}: {reason}", via=via, reason=reason), hint)


class HostKeyRefused(RemoteError):
    """The host showed a key that we do not know, or another one than we know."""

    def __init__(self, host: str, *, offered: tuple[str, ...] = (), known: tuple[str, ...] = (), revoked: bool = False) -> None:
        self.offered, self.known, self.revoked = offered, known, revoked
        hint: Text | None = Text("longarm host enrol {host}", host=host)
        if revoked:
            text, hint = Text("the host key {offered} is revoked", offered=", ".join(offered)), None
        elif known:
            hint = Text("find out who changed it, then: longarm host enrol --replace {host}", host=host)
            text = Text(
                "the host key changed: offered {offered}, known {known}", offered=", ".join(offered), known=", ".join(known)
            )
        else:
            text = Text("unknown host key {offered}", offered=", ".join(offered))
        super().__init__(host, text, hint)


class HostCertificateRefused(HostKeyRefused):
    """The host showed a certificate that does not count here, and its key alone is not known."""

    def __init__(self, host: str, *, certificate: str, reason: Text, foreign: bool) -> None:
        self.certificate, self.foreign = certificate, foreign
        self.offered, self.known, self.revoked = (), (), False
        text = Text("the host certificate “{certificate}” does not count: {reason}", certificate=certificate, reason=reason)
        hint = Text("have whoever signs them sign a new certificate for {host}", host=host)
        RemoteError.__init__(self, host, text, Text("longarm host enrol --ca FILE {host}", host=host) if foreign else hint)


class TlsRefused(HostKeyRefused):
    """The host showed a certificate that does not count: another one than was enrolled, or of no authority that counts."""

    def __init__(
        self, host: str, reason: Text | str, *, offered: str = "", known: tuple[str, ...] = (), revoked: bool = False
    ) -> None:
        self.offered, self.known, self.revoked = (offered,) if offered else (), known, revoked
        hint: Text | None = None
        if revoked:
            text = Text("the certificate {offered} is revoked", offered=offered)
        elif known:
            words = {"offered": offered, "known": ", ".join(known)}
            text = Text("the certificate changed: offered {offered}, known {known}", **words)
            hint = Text("find out who changed it, then: longarm host enrol --replace {host}", host=host)
        else:
            text = Text("the certificate does not count: {reason}", reason=reason)
            hint = Text("longarm host enrol {host}", host=host)
        RemoteError.__init__(self, host, text, hint)


class AuthenticationRefused(RemoteError):
    """The host answered and did not accept any credential we offered."""

    def __init__(
        self,
        host: str,
        *,
        user: str,
        tried: tuple[str, ...],
        offered_methods: tuple[str, ...] = (),
        hint: Text | None = None,
    ) -> None:
        self.user, self.tried, self.offered_methods = user, tried, offered_methods
        words = ", ".join(tried) or "nothing"
        text = Text("{user} was refused; tried {tried}", user=user, tried=words)
        if offered_methods:
            methods = ", ".join(offered_methods)
            text = Text("{user} was refused; tried {tried}; the host takes {methods}", user=user, tried=words, methods=methods)
        super().__init__(host, text, hint)


class CredentialUnusable(RemoteError):
    """A credential reference that could not be turned into a credential; nothing was offered."""

    def __init__(self, host: str, credential: str, reason: Text, hint: Text | None = None) -> None:
        self.credential = credential
        text = Text("credential {credential} cannot be used: {reason}", credential=credential, reason=reason)
        see = Text("see “Credentials” in docs/inventory.md, then: longarm doctor --host {host}", host=host)
        super().__init__(host, text, hint or see)


class CredentialBlocked(RemoteError):
    """A credential that was rejected too often, in this run or to other commands lately: it is not offered further."""

    def __init__(self, host: str, credential: str, rejections: int, *, earlier: bool = False) -> None:
        self.credential, self.rejections, self.earlier = credential, rejections, earlier
        text = Text(
            "not tried: credential {credential} was rejected {count} times in this run", credential=credential, count=rejections
        )
        if earlier:
            text = Text(
                "not tried: credential {credential} was rejected {count} times within half an hour",
                credential=credential,
                count=rejections,
            )
        super().__init__(host, text, Text("longarm doctor --host {host}", host=host) if earlier else None)


class ConnectionLost(RemoteError):
    """The connection went away while proofs were on their way: the host may have counted them."""

    def __init__(self, host: str, reason: Text | str) -> None:
        super().__init__(host, Text("the connection was lost: {reason}", reason=reason))


class DeadlineExceeded(RemoteError):
    """The wall-clock deadline passed."""

    def __init__(self, host: str, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        super().__init__(host, Text("no end after {deadline_s} s", deadline_s=f"{deadline_s:g}"))
