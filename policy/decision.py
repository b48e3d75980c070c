"""The values the policy engine takes and returns.

A decision is a value with its reasons: the engine does no I/O, keeps no clock and logs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from policy.history import History

Effect = Literal["allow", "deny", "approval"]

#: What a call can ask for (DESIGN section 9).
ACTIONS = frozenset({"call", "list", "read", "get", "send", "cancel", "create", "change", "approve"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls, as verified; nothing in it comes from an unverified header or body.

    `agent`, `user`, `actors`, `roles` and `groups` are bare names without prefix. `domain` is the
    trust domain of the issuer's entry in the configuration, never a claim. `roles` and `groups` are
    those of the verified credential; roles given by `g` lines are the engine's business.
    """

    agent: str
    domain: str
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    user: str | None = None
    user_roles: frozenset[str] = frozenset()
    actors: tuple[str, ...] = ()
    #: `gateway` is the gateway itself, on behalf of who made a call before
    method: Literal["jwt", "api_key", "run_token", "anonymous", "socket", "gateway", "certificate"]
    issuer: str | None = None
    #: a public id of the credential (key id, jti digest) for the audit; never the credential itself
    credential: str = "-"
    #: roles that the configuration gives for this login; unlike `roles` they count over the gateway itself as well
    appointed: frozenset[str] = frozenset()
    #: the subject of its token where that is none of the names above: by it, too, an issuer revokes
    subject: str | None = None
    #: what the issuer limits its token to; `None`: the credential knows no scopes (API keys)
    scopes: frozenset[str] | None = None

    @property
    def name(self) -> str:
        """The subject with its domain, as written outside policy files: `agent:acme/billing`."""
        return f"agent:{self.domain}/{self.agent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing to decide.

    `resource` is a normalised name (`mcp/payments/tool/charge_card`), `resource_domain` the trust
    domain the configuration gives it. `arguments` is the parsed JSON the conditions see as `args`
    (`None` where the call has none). `time` is seconds since the epoch. `run` is what the run has done
    before, `None` outside a run: a condition that asks for it errs there. With `certain_only` a condition counts
    as "maybe": the answer is deny only when a call would certainly be denied (used for listings).
    """

    principal: Principal
    resource: str
    resource_domain: str
    action: str
    arguments: object = None
    run: History | None = None
    time: float
    certain_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRef:
    """Where a policy line stands. `id` is its stable name (`# id:` comment or `file:line`)."""

    id: str
    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A grant: entities whose originals may be put back, and where.

    `entities` is empty for `*` (all). `target` is `tool` (at JSON pointer `pointer` into the
    arguments), `agent` (in the answer) or `approver`.
    """

    entities: frozenset[str]
    target: Literal["tool", "agent", "approver"]
    pointer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A demand: at most `calls` in any `seconds`, counted for each agent that the line `line` lets through.

    A line whose subject is a user counts for that user, whichever agent calls (`of_user`).
    """

    calls: int
    seconds: int
    line: str = field(default="", compare=False)
    of_user: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligations:
    """What an allow demands (`profiles`, `approvals`, `limits`, `labels`) and grants (`restores`), of all its lines."""

    profiles: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    restores: tuple[Restore, ...] = ()
    limits: tuple[Limit, ...] = ()
    #: what the run is marked with from this call on
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What another set says to the same question: it is written down and decides nothing."""

    effect: Effect
    rule: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer, with the line that decided it.

    `line` is `None` for a default deny. `reason` is one lower-case sentence without argument
    values, safe to show the caller. `digest` names the policy set (`sha256:<hex>`).
    """

    effect: Effect
    reason: str
    line: LineRef | None = None
    flow_line: LineRef | None = None
    obligations: Obligations = field(default_factory=Obligations)
    digest: str
    #: `error` when an exception or an unusable question led to the deny
    error: str | None = None
    #: in `shadow` mode denies and approvals are suspended; `would` is what was, `None` where nothing was
    mode: Literal["enforce", "shadow"] = "enforce"
    would: Effect | None = None
    #: what the candidate set says, where there is one
    candidate: Second | None = None

    @property
    def allowed(self) -> bool:
        """Whether the call may go on at once."""
        return self.effect == "allow"

    @property
    def rule(self) -> str:
        """The deciding line's id, `default` without one."""
        if self.line is not None:
            return self.line.id
        return "default"
