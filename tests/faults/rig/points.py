"""The named points at which the rig kills a gateway, and what a call that died there has come to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Unpack

from tests.faults.rig.line import losing

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tests.faults.rig.agent import Told, Wanted
    from tests.faults.rig.gate import Gate
    from tests.faults.rig.stand import Rig

Came = Literal["nothing", "doubt", "done"]
POINTS: Final[dict[str, Came]] = {
    "before_intent_commit": "nothing",
    "after_intent_commit": "doubt",
    "between_send_and_outcome": "doubt",
    "in_mid_stream": "doubt",
    "before_outcome_commit": "doubt",
    "after_outcome_commit": "done",
    "before_the_answer": "done",
}
#: the agent's word for each class: a tool for each, and the model (a hosted tool makes a model call `once`)
CLASSES: Final = {"pay": "once", "put": "keyed", "look": "safe", "model": "safe", "model_once": "once"}
_SECONDS_MAX: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A call during which its gateway died at a point; `killed` is when, on the monotonic clock."""

    point: str
    what: str
    name: str
    told: Told
    killed: float


def die_at(rig: Rig, gate: Gate, point: str, what: str, name: str, **more: Unpack[Wanted]) -> Death:
    """Make a call at `gate`, which dies at `point` of it."""
    if point in {"between_send_and_outcome", "in_mid_stream"}:
        rig.effects.hold("stream" if point == "in_mid_stream" else "answer")
        asking = rig.ask(gate, what, name, **({**more, "stream": point == "in_mid_stream"}))
        rig.effects.wait_until_held()
        gate.kill()
        rig.effects.go_on()
    elif point == "before_the_answer":
        with losing(gate.port, f"{name}#".encode(), gate.shoot) as line:
            asking = rig.ask(gate, what, name, url=line.url, **more)
            return _dead(gate, point, what, name, asking)
    else:
        gate.arm(point)
        asking = rig.ask(gate, what, name, **more)
    return _dead(gate, point, what, name, asking)


def _dead(gate: Gate, point: str, what: str, name: str, asking: Future[Told]) -> Death:
    gate.wait_until_dead()
    killed = time.monotonic()
    return Death(point=point, what=what, name=name, told=asking.result(_SECONDS_MAX), killed=killed)
