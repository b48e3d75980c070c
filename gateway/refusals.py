"""The path's refusals, each in one sentence a model can act on and that never changes for the same step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durable.step import (
    ApprovalLost,
    Diverges,
    Failed,
    Held,
    InDoubt,
    InFlight,
    KeyReused,
    Looping,
    OverBudget,
    Purged,
    RunClosed,
    Superseded,
)
from gateway.budgets import refused
from gateway.call import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from durable.step import Began, Known
    from gateway.call import RefusalCode
    from policy.decision import Decision


def denied(decision: Decision) -> Refusal:
    """Return the refusal of a decision that is not an allow, where nobody can be asked."""
    if decision.effect == "approval":
        groups = " and ".join(f"`{group}`" for group in decision.obligations.approvals)
        message = f"this needs the approval of {groups}, which can be asked for tool and model calls only"
        return Refusal(code="denied", message=message, status=403, rule=decision.rule)
    return Refusal(
        code="denied",
        message=f"not allowed by policy (rule {decision.rule}): {decision.reason}; nothing was executed",
        status=403,
        rule=decision.rule,
    )


def approval_pending(demands: Sequence[str], rule: str) -> Refusal:
    """Return the refusal of a call that waits for a person; asking again waits on."""
    groups = " and ".join(f"`{demand.partition(',')[0]}`" for demand in demands)
    return Refusal(
        code="approval_pending",
        message=f"approval_pending: this call waits for the approval of {groups}; nothing was executed. "
        "ask again with the same arguments to wait on, do not call it another way",
        status=409,
        final=False,
        rule=rule,
        retry_after_seconds=5,
    )


def denied_by_person(rule: str) -> Refusal:
    """Return the refusal of a call whose approval a person denied."""
    message = "a person has denied this call; nothing was executed, do not ask for it again"
    return Refusal(code="denied", message=message, status=403, rule=rule)


def of_known(known: Known | Began) -> Refusal:
    """Return what a caller is told when its step can be neither executed nor replayed."""
    match known:
        case Superseded(newest=newest):
            return superseded(newest)
        case RunClosed(state=state):
            return run_closed(state)
        case Purged():
            return purged()
        case InFlight():
            return in_flight()
        case OverBudget() | Looping():
            return refused.over_budget(known) if isinstance(known, OverBudget) else refused.looping(known)
        case _:
            plain = _PLAIN.get(type(known))
            return internal() if plain is None else plain()


def wrong_method(allow: str, message: str) -> Refusal:
    """Refuse a method that is not served; `allow` are those that are."""
    return Refusal(code="bad_request", message=message, status=405, allow=allow)


def _conflict(code: RefusalCode, message: str) -> Refusal:
    # 422 for a reused key as draft-ietf-httpapi-idempotency-key-header says, 409 for the others
    return Refusal(code=code, message=message, status=422 if code == "key_reused" else 409)


def superseded(newest: int) -> Refusal:
    """Return the refusal of a process whose run has a newer attempt."""
    return _conflict(
        "attempt_superseded",
        f"attempt_superseded: attempt {newest} of this run has taken over; this process must stop",
    )


def run_closed(state: str) -> Refusal:
    """Return the refusal of a call in a run that is over."""
    return _conflict("run_closed", f"this run is {state}; start a new run. nothing was executed")


def no_such_run() -> Refusal:
    """Return the refusal for a run that is not there, or is somebody else's: the two look the same."""
    return Refusal(code="not_found", message="there is no such run of this agent", status=404)


def unreadable(what: str) -> Refusal:
    """Return the refusal of a request that holds what redaction cannot look into."""
    return Refusal(code="blocked", message=f"{what}. nothing was executed", status=400)


def not_received(status: int) -> Refusal:
    """Return the refusal of a request that names what its caller never received; whose it is is not said."""
    message = (
        "the request names an object of the provider (a response, file, container, conversation …) that this agent "
        "did not receive through this gateway; nothing was executed"
    )
    return Refusal(code="bad_request", message=message, status=status)


def of_another_provider(status: int) -> Refusal:
    """Return the refusal of a request that names what another provider keeps."""
    message = (
        "the request names an object that another provider keeps; call a model of the provider that made it. "
        "nothing was executed"
    )
    return Refusal(code="bad_request", message=message, status=status)


def in_doubt() -> Refusal:
    """Return the refusal of a step that may have been executed and is never repeated silently."""
    return Refusal(
        code="in_doubt",
        message="in_doubt: this call was sent and its outcome is unknown; it is not repeated. "
        "an operator decides; ask again for the result, do not call it another way",
        status=409,
    )


def held() -> Refusal:
    """Return the refusal of a step that was not sent and waits for an operator."""
    return _conflict(
        "in_doubt",
        "in_doubt: this call is held for an operator and was not sent; ask again for the result, "
        "do not call it another way",
    )


def diverged() -> Refusal:
    """Return the refusal of a request that ended its run by differing from what it asked before."""
    return _conflict("diverged", "diverged: this run asked for something else than before and has failed")


def purged() -> Refusal:
    """Return the refusal of a run id or key whose past is not kept any more."""
    return Refusal(
        code="run_closed",
        message="this run or idempotency key was used and is not kept any more; use a new one. nothing was executed",
        status=410,
    )


def approval_lost() -> Refusal:
    """Return the refusal of a call whose approval ended between being given and being used."""
    return _conflict("approval_lost", "the approval of this call is over; nothing was executed, ask again")


def key_reused() -> Refusal:
    """Return the refusal of an explicit key that stands for another request."""
    return _conflict(
        "key_reused", "this idempotency key was used for another request; use a new key. nothing was executed"
    )


def settled_as_failed() -> Refusal:
    """Return the refusal of a step an operator settled without an outcome."""
    return _conflict("call_failed", "an operator settled this call as failed; it is not executed again")


def in_flight() -> Refusal:
    """Return the refusal of a step that is still being executed."""
    return Refusal(
        code="in_flight",
        message="this call is still being executed; ask again for its result",
        status=409,
        final=False,
        retry_after_seconds=1,
    )


def unwritable() -> Refusal:
    """Return the refusal while the journal cannot be written: nothing is sent."""
    return Refusal(
        code="unavailable",
        message="the journal cannot be written; nothing was sent, ask again later",
        status=503,
        final=False,
        retry_after_seconds=5,
    )


def unwritten() -> Refusal:
    """Return the refusal of a sent call whose outcome could not be written."""
    return Refusal(
        code="in_doubt",
        message="in_doubt: the call was sent, but its outcome could not be journaled; ask again later",
        status=503,
        final=False,
    )


def uninspected(why: str = "") -> Refusal:
    """Return the refusal of a call that could not be inspected; `why`, without content, is for the audit."""
    return Refusal(
        code="unavailable",
        detail=why,
        message="the call could not be inspected for personal data; nothing was sent, ask again later",
        status=503,
        final=False,
        retry_after_seconds=5,
    )


def blocked(found: tuple[tuple[str, str], ...], advice: str = "remove it and ask again") -> Refusal:
    """Return the refusal of a call that holds what a profile blocks; names entity and place, no value."""
    entity, pointer = found[0]
    return Refusal(code="blocked", message=f"{entity} at `{pointer}` must not leave; {advice}", status=403)


def misleading(entity: str, pointer: str) -> Refusal:
    """Return the refusal of a call with a number that stands for another one, which cannot be put back there."""
    return Refusal(
        code="blocked", status=403,
        message=f"the number at `{pointer}` stands for {entity} and cannot be put back there; leave it out",
    )  # fmt: skip


def withheld(found: tuple[tuple[str, str], ...]) -> Refusal:
    """Return the refusal of an executed call whose answer holds what a profile blocks."""
    entity, pointer = found[0]
    return Refusal(
        code="blocked",
        message=f"the call was executed, but its answer holds {entity} at `{pointer}` and is withheld; "
        "do not repeat the call",
        status=403,
    )


def unreachable() -> Refusal:
    """Return the refusal of a call that was never sent."""
    return Refusal(
        code="upstream_unreachable",
        message="the upstream could not be reached; nothing was executed, ask again",
        status=502,
        final=False,
    )


def no_token() -> Refusal:
    """Return the refusal of a call that was not sent for want of a token for its upstream."""
    return Refusal(
        code="upstream_unreachable",
        message="the gateway could not get a token for the upstream; nothing was executed, ask again later",
        status=502,
        final=False,
    )


def lapsed() -> Refusal:
    """Return the refusal of a call that this instance may not send: it was silent for too long."""
    return Refusal(
        code="unavailable",
        message="this gateway has lost touch with its journal; nothing was executed, ask again",
        status=503,
        final=False,
    )


def unanswered() -> Refusal:
    """Return the refusal of a repeatable call without a complete answer."""
    return Refusal(
        code="upstream_failed",
        message="the upstream did not answer to the end; ask again",
        status=502,
        final=False,
    )


def credential_refused() -> Refusal:
    """Return the refusal when the upstream does not accept the gateway's credential."""
    return Refusal(
        code="upstream_failed",
        message="the upstream refused the gateway's own credential; nothing was executed, tell the operator",
        status=502,
    )


def taken_over() -> Refusal:
    """Return the refusal of an execution that was fenced by a later one."""
    return Refusal(
        code="in_flight",
        message="another attempt has taken this call over; ask again",
        status=409,
        final=False,
    )


def too_many(whose: str, in_flight_max: int) -> Refusal:
    """Return the refusal when too many calls are under way."""
    return Refusal(
        code="limited",
        message=f"{in_flight_max} calls {whose} are under way already; nothing was executed, ask again later",
        status=429,
        final=False,
        retry_after_seconds=1,
    )


def upstream_open(seconds: int) -> Refusal:
    """Return the refusal of a call whose upstream is left alone after failures."""
    return Refusal(
        code="unavailable",
        message="the upstream has failed again and again and is left alone for a while; nothing was executed, "
        "ask again later",
        status=503,
        final=False,
        retry_after_seconds=seconds,
    )


def upstream_full() -> Refusal:
    """Return the refusal of a call whose upstream has as much under way as it may."""
    return Refusal(
        code="unavailable",
        message="the upstream has as many calls under way as it may; nothing was executed, ask again later",
        status=503,
        final=False,
        retry_after_seconds=1,
    )


def internal() -> Refusal:
    """Return the refusal after an error of the gateway's own."""
    return Refusal(code="internal", message="the gateway failed; ask again later", status=500)


_PLAIN: Final[Mapping[type, Callable[[], Refusal]]] = {
    InDoubt: in_doubt,
    Held: held,
    KeyReused: key_reused,
    Failed: settled_as_failed,
    Diverges: diverged,
    ApprovalLost: approval_lost,
}


def quarantined(server: str, kind: str, name: str) -> Refusal:
    """Return the refusal of what its server defines otherwise than was accepted."""
    more = "" if kind == "tool" else f" --kind {kind}"
    return Refusal(
        code="quarantined",
        message=f"quarantined: the definition of this {kind} has not been accepted; nothing was executed. "
        f"an operator looks at it with `oncegate tools show {server} {name}{more}`; do not call it another way",
        status=403,
    )


def unlisted(kind: str) -> Refusal:
    """Return the refusal of what its server does not list, so that nobody knows what it is."""
    message = f"the server lists no {kind} of this name; see the list. nothing was executed"
    return Refusal(code="not_found", message=message, status=404)


def definitions_unread() -> Refusal:
    """Return the refusal of a call whose definition could not be asked for."""
    return Refusal(
        code="upstream_unreachable",
        message="the server did not show its definitions; nothing was executed, ask again later",
        status=502,
        final=False,
    )


def invalid_arguments(wrong: str) -> Refusal:
    """Return the refusal of arguments that do not fit the accepted schema; `wrong` says where."""
    message = f"invalid arguments: {wrong}; nothing was executed. call it again with arguments that fit its schema"
    return Refusal(code="invalid_arguments", message=message, status=422)
