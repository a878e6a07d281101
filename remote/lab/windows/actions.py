"""What the messages of WS-Management do on a practice Windows host: each is handed to the kind of shell that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from remote.lab.windows import wsman
from remote.lab.windows.descriptions import configuration, described
from remote.lab.windows.faults import ENGLISH, Fault, Kind
from remote.lab.windows.login import Doors, Rights
from remote.lab.windows.runspaces import Endpoint, Runspaces
from remote.lab.windows.shells import Limits, Program, Shell, Shells, no_shell
from remote.lab.windows.winrs import Winrs
from remote.lab.windows.wsman import Request, element, envelope

ADDRESS: Final = "http://127.0.0.1/wsman"


class Service:
    """WS-Management of one host, for whoever is logged in."""

    def __init__(
        self, program: Program, doors: Doors, limits: Limits, endpoints: Mapping[str, Endpoint], language: str = ENGLISH
    ) -> None:
        self.doors, self.limits, self.endpoints, self.language = doors, limits, endpoints, language
        self.shells = Shells(limits)
        self._winrs, self._runspaces = Winrs(self.shells, program), Runspaces(self.shells)

    async def act(self, request: Request, user: str) -> bytes:
        """Do what a message asks and return the answer; raises Fault."""
        self._permit(request, user)
        if request.action == wsman.CREATE:
            return self._create(request, user)
        if request.action == wsman.GET and request.resource_uri == wsman.CONFIG:
            return envelope(f"{wsman.TRANSFER}/GetResponse", request.message_id, configuration(self.limits, self.doors))
        kind = self._runspaces if request.resource_uri.startswith(wsman.POWERSHELLS) else self._winrs
        shell = self._found(request, user)
        match request.action:
            case wsman.COMMAND:
                return kind.command(request, shell)
            case wsman.SEND:
                return kind.send(request, shell)
            case wsman.RECEIVE:
                return await kind.receive(request, shell)
            case wsman.SIGNAL:
                return kind.signal(request, shell)
            case wsman.DELETE:
                self.shells.delete(shell)
                return envelope(f"{wsman.TRANSFER}/DeleteResponse", request.message_id)
            case wsman.GET:
                return envelope(f"{wsman.TRANSFER}/GetResponse", request.message_id, described(shell, running=True))
            case action:
                raise Fault(Kind.ACTION_NOT_SUPPORTED, f"The action is not supported: {action}")

    def _found(self, request: Request, user: str) -> Shell:
        try:
            return self.shells.find(request.shell_id, user)
        except Fault as fault:
            raise no_shell() if request.action == wsman.GET else fault from None

    def _permit(self, request: Request, user: str) -> None:
        rights = self.doors.rights_of(user)
        if rights is Rights.NONE or (rights is Rights.REMOTE and not request.resource_uri.startswith(wsman.POWERSHELLS)):
            raise Fault(Kind.ACCESS_DENIED, "Access is denied. ")

    def _create(self, request: Request, user: str) -> bytes:
        if request.resource_uri == wsman.CMD:
            shell = self._winrs.create(request, user)
        elif (endpoint := self.endpoints.get(request.resource_uri.removeprefix(wsman.POWERSHELLS))) is not None:
            shell = self._runspaces.create(request, user, endpoint)
        else:
            raise Fault(
                Kind.INVALID_RESOURCE,
                f"The WS-Management service cannot process the request. The resource URI ({request.resource_uri}) was not "
                "found in the WS-Management catalog. The catalog contains the metadata that describes resources, or logical "
                "endpoints. ",
            )
        return envelope(f"{wsman.TRANSFER}/CreateResponse", request.message_id, _created(shell), described(shell))


def _created(shell: Shell) -> wsman.Element:
    selector = element("w:Selector", shell.id, Name="ShellId")
    parameters = [element("w:ResourceURI", shell.resource_uri), element("w:SelectorSet", children=[selector])]
    return element(
        "x:ResourceCreated",
        children=[element("a:Address", ADDRESS), element("a:ReferenceParameters", children=parameters)],
    )
