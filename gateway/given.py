"""Outcomes that somebody else than the upstream gives: an operator, or the record a verify call has found.

They are kept as the upstream's would have been: redacted, with their originals in the vault and the tool
calls they ask for, so that the agent's next request gets them as if nothing had happened.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from durable.step import Outcome, Owner
from gateway import refusals
from gateway.body import at, encode, parse
from gateway.managed import principal_from
from gateway.outward import Veil, scope_in, vault_entries
from gateway.owners import user_and_actors
from gateway.restoring import Originals
from gateway.tool_use import count_uses
from policy.decision import Principal, Question
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from durable.records import CallRecord
    from durable.step import VaultEntry
    from durable.store import Store
    from gateway.call import ToolUse
    from gateway.outward import Redaction
    from gateway.policies import Policies
    from redaction.finding import Scope
    from redaction.profile import Profile

_ARGUMENTS: Final = ("params", "arguments")
#: An MCP result or a model's answer as it is given.
_SHAPE: Final = Shape(
    keep=(
        "content.*.type", "id", "object", "model", "created", "choices.*.finish_reason", "choices.*.message.role",
        "choices.*.message.tool_calls.*.id", "choices.*.message.tool_calls.*.type",
        "choices.*.message.tool_calls.*.function.name", "status", "output.*.type", "output.*.id",
        "output.*.role", "output.*.status", "output.*.call_id", "output.*.name", "output.*.content.*.type", "type",
        "role", "stop_reason", "content.*.id", "content.*.name",
    ),
    embedded=("choices.*.message.tool_calls.*.function.arguments", "output.*.arguments", "content.*.text"),
)  # fmt: skip


class Unusable(Exception):  # noqa: N818 - says what is known of it
    """The outcome is none its resource could have; the message says what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An outcome with what goes into its transaction (`durable.step.Proof`)."""

    outcome: Outcome
    uses: Mapping[bytes, int]
    vault: tuple[VaultEntry, ...]


class Giving:
    """Makes outcomes of what is given for a call. `tools_asked` reads a model's answer.

    `domains` holds the trust domain of each server and model, by the resource that names it.
    """

    def __init__(
        self,
        store: Store,
        redaction: Redaction,
        policies: Policies,
        domains: Mapping[str, str],
        tools_asked: Callable[[Outcome], Sequence[ToolUse]],
    ) -> None:
        self._store = store
        self._redaction = redaction
        self._policies = policies
        self._domains = domains
        self._tools_asked = tools_asked

    async def scope(self, record: CallRecord) -> Scope:
        """Return within which the call's placeholders stand for their originals."""
        owner = Owner(record.domain, record.agent, record.user)
        keys = await self._store.run_keys(owner, record.run)
        return scope_in(owner, keys, record.run, record.key)

    async def principal(self, record: CallRecord) -> Principal:
        """Return as whom a call was made, as far as the journal knows: roles of a token only within a run."""
        run = None if record.run is None else await self._store.read_run(record.run)
        if run is not None and run.details:
            return principal_from(run.details, record.domain, record.agent)
        user, actors = user_and_actors(record.user)
        return Principal(agent=record.agent, domain=record.domain, user=user, actors=actors, method="gateway")

    async def outcome(self, record: CallRecord, tree: object, source: str) -> Given:
        """Return `tree`, given by `source`, as the outcome of a call.

        Raises `Unusable`, `Refusal` when the call's profile withholds it, `DetectionError`.
        """
        demand(record.resource, tree)
        scope = await self.scope(record)
        veil = Veil(
            profile=await self._profile(record), scope=scope, domain=record.domain, direction="inward",
            known=Originals(self._store, scope.id).of,
        )  # fmt: skip
        redacted = await self._redaction.tree(tree, _SHAPE, veil)
        if redacted.blocked:
            raise refusals.blocked(redacted.blocked)
        outcome = outcome_of(record.resource, redacted.tree, source)
        uses: Mapping[bytes, int] = {}
        if record.resource.startswith("model/"):
            keys = await self._store.run_keys(Owner(record.domain, record.agent, record.user), record.run)
            uses = count_uses(keys.fingerprint, self._tools_asked(outcome))
        return Given(outcome=outcome, uses=uses, vault=vault_entries(veil.scope, redacted.minted))

    async def _profile(self, record: CallRecord) -> Profile:
        """Return the profile today's policy demands of the call, the strictest of all where it allows it no more."""
        request = await self._store.read_request(record.id)
        tree = None if request is None else parse(request)
        question = Question(
            principal=await self.principal(record), resource=record.resource,
            resource_domain=self._domains.get("/".join(record.resource.split("/")[:2]), ""), action=record.action,
            arguments=at(tree, _ARGUMENTS) if record.resource.startswith("mcp/") else tree, time=time.time(),
        )  # fmt: skip
        decision = self._policies.current.decide(question)
        return self._redaction.strictest if decision.effect == "deny" else self._redaction.profile_of(decision)


def outcome_of(resource: str, tree: object, source: str) -> Outcome:
    """Return `tree`, redacted, as an outcome of a call of `resource`."""
    form = "result" if resource.startswith("mcp/") else "body"
    meta = {"source": source}
    return Outcome(form=form, status=200, media="application/json", body=encode(tree), meta=meta)


def demand(resource: str, tree: object) -> None:
    """Raise `Unusable` unless `tree` can be the outcome of a call of `resource`."""
    kind = resource.partition("/")[0]
    if not isinstance(tree, dict):
        raise Unusable("expected `outcome` to be a JSON object")
    given = cast("dict[str, object]", tree)
    if kind == "mcp" and not isinstance(given.get("content"), list):
        expected = '`{"content": [{"type": "text", "text": "…"}]}`'
        raise Unusable(f"expected `outcome` to be the tool's `result`: {expected}")
    if kind == "model" and not _is_completion(given):
        expected = '`{"choices": [{"index": 0, "message": {"role": "assistant", "content": "…"}}]}`'
        raise Unusable(f"expected `outcome` to be the model's answer: {expected}")


def _is_completion(tree: dict[str, object]) -> bool:
    output, choices, content = tree.get("output"), tree.get("choices"), tree.get("content")
    if tree.get("type") == "message" and isinstance(content, list):  # of the messages protocol
        return all(isinstance(one, dict) for one in cast("list[object]", content))
    if choices is None and isinstance(output, list):  # a response
        return all(isinstance(one, dict) for one in cast("list[object]", output))
    if not isinstance(choices, list) or not choices:
        return False
    return all(
        isinstance(one, dict) and isinstance(cast("dict[str, object]", one).get("message"), dict)
        for one in cast("list[object]", choices)
    )
