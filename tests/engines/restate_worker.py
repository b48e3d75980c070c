"""A worker of Restate: `python -m tests.engines.restate_worker FOLDER PORT` serves the workflow to Restate's server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import restate
import uvicorn

from tests.engines import activities

_DOING = activities.of_settings(Path(sys.argv[1]))
order = restate.Workflow("order")


@order.main()
async def run(context: restate.WorkflowContext, _: None) -> list[str]:
    """Ask, then charge; the workflow's key is its id."""
    workflow = context.key()

    async def ask() -> str:
        return await asyncio.to_thread(_DOING.ask, workflow)

    async def charge() -> str:
        return await asyncio.to_thread(_DOING.charge, workflow)

    return [await context.run_typed("ask", ask), await context.run_typed("charge", charge)]


if __name__ == "__main__":
    application = restate.app([order], protocol="request_response")
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", lifespan="off", ws="none")
