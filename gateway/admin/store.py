"""`/api/v1/store`: what an operator decides about the store as a whole."""

from typing import Annotated

from fastapi import APIRouter, Depends

from gateway.admin.permit import Permit, permit
from gateway.admin.views import Acceptance, Accepted

_Changer = Annotated[Permit, Depends(permit("admin/calls", "change"))]


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/store", tags=["store"])
    router.add_api_route("/accept", _accept, methods=["POST"], summary="Accept that the store was rolled back")
    return router


async def _accept(allowed: _Changer, wanted: Acceptance) -> Accepted:
    audit = [allowed.record("accept_store", "-", wanted.reason)]
    return Accepted(accepted=await allowed.parts.accept_past(audit))
