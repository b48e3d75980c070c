"""The console as one ASGI app: pages, shipped files, login, and the stream that says when something has changed."""

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from durable.journal import JournalUnavailable
from gateway.admin.parts import AdminParts
from gateway.admin.problem import Problem
from gateway.admin.sessions import Sessions
from gateway.console import entrance, pages
from gateway.console.render import HERE, environment, rendered

#: How often is looked whether something has changed.
EVERY_SECONDS = 2.0
#: A stream ends, and the browser asks anew: its credential is verified again then.
STREAM_SECONDS_MAX = 300.0


def build_console(parts: AdminParts, sessions: Sessions) -> FastAPI:
    """Return the console; it stands behind `gateway.admin.door.Door`, which knows who asks."""
    app = FastAPI(title="Oncegate console", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.parts = parts
    app.state.sessions = sessions
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
    parts: AdminParts = request.app.state.parts
    insight = parts.insight
    if insight is None:
        return RedirectResponse("/")

    async def changes() -> AsyncIterator[str]:
        last, until = "", asyncio.get_running_loop().time() + STREAM_SECONDS_MAX
        yield "retry: 2000\n\n"
        while asyncio.get_running_loop().time() < until:
            try:
                totals = await insight.audit.totals()
            except JournalUnavailable:
                return
            calls = insight.metrics.total("oncegate_calls_total")
            now = json.dumps([calls, totals.in_flight, totals.in_doubt, totals.held, totals.approvals,
                              insight.policies.current.digest])  # fmt: skip
            # what changed is not said: whoever may see it asks for the page again
            yield "event: changed\ndata: 1\n\n" if last not in {"", now} else ": still here\n\n"
            last = now
            await asyncio.sleep(EVERY_SECONDS)

    return StreamingResponse(changes(), media_type="text/event-stream")
