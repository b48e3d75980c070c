"""Refusals of the admin API as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from fastapi.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import Request
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

MEDIA = "application/problem+json"


class Problem(Exception):  # noqa: N818 - named as RFC 9457 names it
    """An answer that is not what was asked for. `detail` is one lower-case line that says what to do.

    `code` is stable and made for programs (`not_found`, `not_in_doubt`).
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def answer(problem: Problem) -> JSONResponse:
    """Return `problem` as a response."""
    return JSONResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail,
        },
        status_code=problem.status,
        media_type=MEDIA,
        headers=problem.headers,
    )


async def on_problem(_: Request, error: Exception) -> JSONResponse:
    """Answer a `Problem` raised by a route."""
    return answer(cast("Problem", error))


async def on_invalid(_: Request, error: Exception) -> JSONResponse:
    """Answer parameters or a body of the wrong form: says where and what, and shows no value."""
    first = cast("RequestValidationError", error).errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return answer(Problem(422, "invalid", f"`{where}`: {str(first['msg']).lower()}"))


async def on_http(_: Request, error: Exception) -> JSONResponse:
    """Answer what the framework itself refuses (unknown path, wrong method)."""
    status = cast("HTTPException", error).status_code
    phrase = HTTPStatus(status).phrase.lower()
    return answer(Problem(status, phrase.replace(" ", "_"), f"{phrase}: see /api/v1/openapi.json"))
