"""Redaction of what goes out: a whole tree in, the tree an upstream may see out.

The engines are plain functions; the detection between their two halves is awaited, because it runs in
worker processes (`gateway/detection.py`).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from durable.step import Owner, VaultEntry
from gateway.ids import random_bytes
from gateway.owners import owner_user
from redaction import redactor
from redaction.finding import Minted, Redacted, Scope
from redaction.memory import Memory
from redaction.profile import Profile, combine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from durable.journal import RunKeys
    from gateway.call import Call
    from gateway.detection import Detection
    from policy.decision import Decision
    from redaction.finding import Direction, Finding, Grant, Shape, Slots

    #: returns what the vault of the scope holds of these names
    Known = Callable[[Sequence[str]], Awaitable[Mapping[str, Minted]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Veil:
    """What redaction applies to one call: which finds, and whose placeholders."""

    profile: Profile
    scope: Scope
    #: the caller's trust domain: what one had looked at is new in every other
    domain: str
    direction: Direction = "outward"
    #: tells which finds are stand-ins of the scope already; without it none is
    known: Known | None = None
    #: where what is taken out is put back before anybody acts on it
    grants: tuple[Grant, ...] = ()


class Redaction:
    """The redaction engines with the configured profiles."""

    def __init__(
        self, detection: Detection, profiles: Mapping[str, Profile], default_profile: str,
        languages: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self._detection = detection
        self.languages = frozenset(languages)
        self._profiles = profiles
        self._default = default_profile
        self._combined: dict[tuple[str, ...], Profile] = {}
        self._digests: dict[int, tuple[Profile, str]] = {}
        self._memory = Memory(random_bytes(32))

    @property
    def default_profile(self) -> Profile:
        """The profile of what no policy line speaks of."""
        return self._profiles[self._default]

    @property
    def profile_names(self) -> tuple[str, ...]:
        """The names of all profiles."""
        return tuple(self._profiles)

    @property
    def strictest(self) -> Profile:
        """All profiles as one: what is redacted while nobody can say which of them counts."""
        return combine(list(self._profiles.values()))

    def inspects(self, names: Iterable[str | None]) -> bool:
        """Return whether one of the profiles so named, `None` for the default one, looks at anything."""
        return any(self._profiles[name or self._default].inspects for name in names)

    def named(self, name: str | None) -> Profile:
        """Return a profile by its name, the default one for `None`. Raises `LookupError`."""
        if name is not None and name not in self._profiles:
            raise LookupError(f"unknown profile `{name}`; expected one of {', '.join(self._profiles)}")
        return self._profiles[name or self._default]

    async def detect(self, texts: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
        """Return the findings of each text, asked for by no domain. Raises `DetectionError`."""
        return await self._detection.find(texts) if texts else {}

    def profile_of(self, *decisions: Decision) -> Profile:
        """Return the strictest of the profiles the decisions demand, the default where one names none."""
        demanded = (name for one in decisions for name in one.obligations.profiles or (self._default,))
        names = tuple(dict.fromkeys(demanded))
        if len(names) == 1:
            return self._profiles[names[0]]
        found = self._combined.get(names)
        if found is None:
            found = self._combined[names] = combine([self._profiles[name] for name in names])
        return found

    def digest(self, profile: Profile) -> str:
        """Return what names profile and detector, to know later whether an answer was made under the same."""
        known = self._digests.get(id(profile))
        if known is None or known[0] is not profile:
            # the profile is kept beside it: while it lives, nothing else has its id
            known = self._digests[id(profile)] = profile, f"{profile.digest}/{self._detection.version}"
        return known[1]

    async def outward(self, call: Call, veil: Veil, slots: Slots | None = None) -> Redacted:
        """Return a call's tree redacted, as `tree` does; what its provider would fetch counts as not looked into."""
        redacted = await self.tree(call.tree, call.shape, veil, slots)
        if not call.linked or not veil.profile.inspects:
            return redacted
        blocked = tuple(("UNSCANNED", place) for place in call.linked) if veil.profile.unscanned == "block" else ()
        # a shadow changes nothing
        return replace(
            redacted, passed={**redacted.passed, "linked": len(call.linked)},
            blocked=redacted.blocked if veil.profile.shadow else (*redacted.blocked, *blocked),
        )  # fmt: skip

    async def tree(self, tree: object, shape: Shape, veil: Veil, slots: Slots | None = None) -> Redacted:
        """Return `tree` redacted; `slots` is what schemas say of its places.

        Raises `DetectionError`: the call fails closed.
        """
        if not veil.profile.inspects:
            return Redacted(tree=tree, changed=False)
        redacted = await self._looked_at(tree, shape, veil, slots)
        if redacted.suspects and veil.known is not None and (ours := await veil.known(redacted.suspects)):
            return await self._looked_at(tree, shape, veil, slots, frozenset(ours))
        return redacted

    async def _looked_at(
        self, tree: object, shape: Shape, veil: Veil, slots: Slots | None, ours: frozenset[str] = frozenset()
    ) -> Redacted:
        profile, languages = veil.profile.toward(veil.direction), self.languages
        meaning = f"{self.digest(veil.profile)}/{veil.direction}/{','.join(sorted(languages))}"
        recall = self._memory.of(veil.domain, meaning, veil.scope)
        plan = redactor.plan(tree, shape, profile, slots, languages, recall=recall, ours=ours)
        findings = await self._detection.find(plan.texts, veil.domain) if plan.texts else {}
        return redactor.finish(plan, findings, veil.scope, ours, veil.grants)


def scope_of(call: Call, keys: RunKeys, run: str | None) -> Scope:
    """Return the placeholder scope of a call: its run, else its agent for a known user, else itself alone.

    A call with an explicit key keeps its scope over retries, so that its replay can be restored.
    """
    principal = call.exchange.principal
    return scope_in(Owner(principal.domain, principal.agent, owner_user(principal)), keys, run, call.key)


def scope_in(owner: Owner, keys: RunKeys, run: str | None, key: str | None) -> Scope:
    """Return the placeholder scope of what `owner` calls in a run, or with an explicit key, or without both."""
    if run is not None:
        return Scope(id=f"run/{run}", key=keys.placeholder)
    user = owner.user.partition("|")[0]
    if user != "-":
        return Scope(id=f"agent/{owner.domain}/{owner.agent}/{user}", key=keys.placeholder)
    name = key.encode() if key is not None else random_bytes(16)
    one = hmac.digest(keys.placeholder, b"call/" + name, "sha256")
    return Scope(id=f"call/{one.hex()[:32]}", key=one)


def vault_entries(scope: Scope, minted: Iterable[Minted]) -> tuple[VaultEntry, ...]:
    """Return `minted` as the journal's vault rows."""
    return tuple(
        VaultEntry(scope=scope.id, token=one.token, entity=one.entity, original=one.original) for one in minted
    )
