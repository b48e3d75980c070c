"""Who may do what in the admin API: the owner on the socket, and whom today's policy allows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from gateway.admin.door import PRINCIPAL
from gateway.admin.parts import AdminAction, AdminParts, Deed
from gateway.admin.problem import Problem
from policy.decision import Decision, Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """An allowed request: who, and by which decision (`None` for the owner). Makes audit records."""

    parts: AdminParts
    principal: Principal
    resource: str
    action: AdminAction
    decision: Decision | None

    def record(self, deed: str, thing: str, reason: str = "") -> dict[str, object]:
        """Return the audit record of what was done to `thing`."""
        return dict(self.parts.record(self._deed(deed, thing, reason)))

    async def refused(self, deed: str) -> None:
        """Write into the audit that `deed` was not allowed."""
        await self.parts.write_audit([self.parts.record(self._deed(deed, "-", ""))])

    def _deed(self, deed: str, thing: str, reason: str) -> Deed:
        return Deed(
            principal=self.principal,
            resource=self.resource,
            action=self.action,
            object=thing,
            deed=deed,
            reason=reason,
            decision=self.decision,
        )


def permit(resource: str, action: AdminAction) -> Callable[[Request], Awaitable[Permit]]:
    """Return the dependency that decides `action` on `resource` (`admin/calls`) for who asks."""

    async def decided(request: Request) -> Permit:
        parts: AdminParts = request.app.state.parts
        principal = request.scope["state"][PRINCIPAL]
        if not isinstance(principal, Principal):
            raise Problem(401, "unauthenticated", "expected a credential")
        owner = principal.method == "socket"
        decision = None if owner else parts.decide(principal, resource, action)
        granted = Permit(parts=parts, principal=principal, resource=resource, action=action, decision=decision)
        if decision is not None and not decision.allowed:
            await granted.refused("denied")
            raise Problem(403, "denied", f"`{action}` on `{resource}` is not allowed: {decision.reason}")
        return granted

    return decided
