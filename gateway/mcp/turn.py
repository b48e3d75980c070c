"""One exchange with a server, as it goes on: what is asked, what is sent, what its answer has said so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from durable.step import Owner
    from gateway.definitions.schema import Checker
    from gateway.mcp.message import Message
    from gateway.mcp.sessions import Session


@dataclass(slots=True, kw_only=True)
class Turn:
    """The state that adapter, reader and transport share about one exchange.

    `may_list` tells whether an item of a list result may be shown; `seal_session` makes a session id of
    the upstream's, `seal_held` of one that the gateway holds. `place` names the principal
    (`gateway.mcp.sessions.place_of`), `owner` and `run` whose keys are its. `sent` is the message as it
    goes to the server. `cut` tells the reader that another stream goes on where the last one ended; `stop`
    ends what is under way.
    """

    message: Message | None
    method: str
    place: str = ""
    owner: Owner | None = None
    run: str | None = None
    session: Session | None = None
    may_list: Callable[[str, dict[str, object]], bool]
    seal_session: Callable[[str], str]
    seal_held: Callable[[str], str] = str
    #: whether the client speaks another era, or through the joined endpoint, so that the message is made here
    bridged: bool = False
    joined: bool = False
    answer_headers: dict[str, str] = field(default_factory=dict[str, str])
    sent: dict[str, object] | None = None
    answered: bool = False
    cancelled: bool = False
    last_event_id: str | None = None
    retry_seconds: float | None = None
    stop: Callable[[], Awaitable[None]] | None = None
    #: is told the method of each notification of the server
    noticed: Callable[[str], None] | None = None
    #: is shown each message of the server as it came; returns what is told how it goes on (`gateway.call.Unit.told`)
    shown: Callable[[Turn, dict[str, object]], Callable[[object], Awaitable[None]] | None] | None = None
    #: what the server asks of the arguments of a tool
    asked: Checker | None = None
    #: what the server promised of the structured content of its result
    promised: Checker | None = None
    cut: bool = False
    resumed: bool = False

    def afresh(self) -> Turn | None:
        """Return the turn as it was before anything was sent, `None` when its client has cancelled it."""
        if self.cancelled:
            return None
        return Turn(
            message=self.message, method=self.method, place=self.place, session=self.session, may_list=self.may_list,
            seal_session=self.seal_session, seal_held=self.seal_held, bridged=self.bridged, joined=self.joined,
            asked=self.asked, promised=self.promised, shown=self.shown, owner=self.owner, run=self.run,
        )  # fmt: skip

    @property
    def makes_mirrors(self) -> bool:
        """Whether the server may want arguments in headers of which the client, of the older era, knows nothing."""
        return self.bridged or (self.session is not None and bool(self.session.nonce))

    @property
    def expects(self) -> bool:
        """Whether a response is due."""
        return self.message is not None and self.message.kind == "request"
