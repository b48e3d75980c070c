"""The console as one ASGI app: pages, shipped files, login, and the stream that says when something has changed."""

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from durable.journal import JournalUnavailable
from gateway.admin.door import STILL
from gateway.admin.parts import AdminParts
from gateway.admin.problem import Problem
from gateway.admin.sessions import Sessions
from gateway.console import entrance, pages
from gateway.console.following import Following
from gateway.console.render import HERE, environment, rendered


def build_console(parts: AdminParts, sessions: Sessions) -> FastAPI:
    """Return the console; it stands behind `gateway.admin.door.Door`, which knows who asks."""
    app = FastAPI(title="Oncegate console", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.parts = parts
    app.state.sessions = sessions
    app.state.following = None if parts.insight is None else Following(parts.insight)
    app.state.templates = environment()
    for kind in (Problem, HTTPException, RequestValidationError, ValidationError, JournalUnavailable):
        app.add_exception_handler(kind, _on_problem)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    router = APIRouter()
    router.add_api_route("/events", _events, methods=["GET"])
    app.include_router(router)
    app.include_router(entrance.routes())
    app.include_router(pages.routes())
    return app


async def _on_problem(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        status, title, detail = error.status, error.code, error.detail
    elif isinstance(error, HTTPException):
        status, title, detail = error.status_code, "not found", "there is no such page"
    elif isinstance(error, JournalUnavailable):
        status, title, detail = 503, "unavailable", "the journal cannot be read now; try again"
    else:
        status, title, detail = 422, "invalid", "this page was asked for something that is none"
    if request.method != "GET":
        return JSONResponse({"code": title, "detail": detail}, status)
    return rendered(request, "problem.html", status, number=status, title=title, detail=detail)


async def _events(request: Request) -> Response:
    following: Following | None = request.app.state.following
    if following is None:
        return RedirectResponse("/")
    return StreamingResponse(following.stream(request.scope["state"][STILL]), media_type="text/event-stream")
