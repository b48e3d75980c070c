"""The admin API as one ASGI app: `/healthz`, `/api/v1/runs`, `/api/v1/calls`, OpenAPI 3.1."""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from durable.journal import JournalUnavailable
from gateway.admin import (
    agents,
    approvals,
    audit,
    blocks,
    budgets,
    calls,
    messages,
    redaction,
    runs,
    store,
    tools,
    upstreams,
)
from gateway.admin.door import HEALTH_PATH, Door
from gateway.admin.etag import Tagged
from gateway.admin.parts import AdminParts, Listener
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem, answer, on_http, on_invalid, on_problem
from gateway.admin.sessions import Sessions
from gateway.admin.views import Health, ProblemDetails

_PROBLEMS: dict[int | str, dict[str, object]] = {
    "4XX": {"model": ProblemDetails, "description": "Refused (RFC 9457)"},
    "503": {"model": ProblemDetails, "description": "The journal cannot be written now"},
}


def build_admin(
    parts: AdminParts, *, listener: Listener, pages: ASGIApp | None = None, sessions: Sessions | None = None
) -> ASGIApp:
    """Return the admin API for one door, with the console's `pages` and their `sessions` behind the same door.

    `tcp` verifies a credential and asks policy; `socket` is the owner's, and is only to be served with
    `gateway.admin.peer.OwnerProtocol` on a socket of `gateway.admin.peer.bind`.
    """
    app = FastAPI(title="Oncegate admin API", version=parts.version, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.parts = parts
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(JournalUnavailable, _on_unavailable)
    app.add_exception_handler(Exception, _on_bug)
    app.include_router(_health())
    documented = Depends(HTTPBearer(auto_error=False, description="a JWT or an API key"))
    for router in (
        runs.routes(listener),
        messages.routes(),
        calls.routes(),
        approvals.routes(),
        budgets.routes(),
        tools.routes(),
        blocks.routes(),
        store.routes(),
        redaction.routes(),
        upstreams.routes(),
        *((audit.routes(), agents.routes()) if parts.insight is not None else ()),
        _description(),
    ):
        app.include_router(router, dependencies=[documented], responses=_PROBLEMS)
    if pages is not None:
        app.mount("/", pages)
    return Door(Tagged(app), parts=parts, listener=listener, sessions=sessions)


async def _on_unavailable(_: Request, __: Exception) -> JSONResponse:
    return answer(Problem(503, "unavailable", "the journal cannot be read or written now; try again"))


async def _on_bug(_: Request, __: Exception) -> JSONResponse:
    # the server logs the error itself; the answer carries nothing of it
    return answer(Problem(500, "internal", "the gateway failed to answer; its log says why"))


def _health() -> APIRouter:
    router = APIRouter()

    async def health() -> Health:
        return Health()

    router.add_api_route(HEALTH_PATH, health, methods=["GET"], summary="Say that the process answers")
    return router


def _description() -> APIRouter:
    router = APIRouter()

    async def description(
        _: Annotated[Permit, Depends(permit("admin/runs", "read"))], request: Request
    ) -> JSONResponse:
        return JSONResponse(request.app.openapi())

    router.add_api_route("/api/v1/openapi.json", description, methods=["GET"], include_in_schema=False)
    return router
