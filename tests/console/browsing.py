"""Pages of the console in a browser: logged in, and without an error; and an agent's call that waits meanwhile."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from mcp.types import CallToolResult
    from playwright.sync_api import Browser, Page

    from tests.approvals.stand import Office

PAGES = ("/", "/runs", "/calls", "/approvals", "/policies", "/tools", "/agents", "/messages", "/redaction", "/audit")
#: what a browser writes of an answer that the test asked for
REFUSED = re.compile(r"status of (401|403|422)")


class Desk(Protocol):
    """A gateway with people who may use its console."""

    @property
    def admin(self) -> int:
        """The console's port."""
        ...

    @property
    def keys(self) -> Mapping[str, str]:
        """What they log in with."""
        ...


@contextmanager
def page_of(browser: Browser, desk: Desk, who: str | None = "boss") -> Generator[Page]:
    """Give a page, logged in; no error may have come up on it."""
    context = browser.new_context(
        base_url=f"http://127.0.0.1:{desk.admin}", viewport={"width": 1280, "height": 900}, color_scheme="light"
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    if who is not None:
        page.goto("/login")
        page.fill("#token", desk.keys[who])
        page.click("button")
        page.wait_for_url("**/")
    yield page
    assert page.evaluate("window.hacked") is None
    unasked = [one for one in errors if not REFUSED.search(one)]
    assert unasked == [], unasked
    context.close()


AXE = Path(__file__).resolve().parents[2] / ".build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
#: WCAG 2.0 to 2.2, levels A and AA
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def barriers(page: Page, *, rules: tuple[str, ...] = ()) -> list[str]:
    """Return what keeps people with disabilities out of the page, as axe-core finds it, by some rules or by all."""
    if not AXE.exists():
        pytest.skip("axe-core is not there; `make test-parts` brings it")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    wanted = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": RULES}
    asked: dict[str, object] = {"runOnly": wanted}
    found = cast("dict[str, list[Any]]", page.evaluate("asked => axe.run(document, asked)", asked))
    return [
        f"{page.url}: {one['id']}: {node['html']} ({node['failureSummary']})"
        for one in found["violations"] for node in one["nodes"]
    ]  # fmt: skip


@contextmanager
def waiting_call(desk: Office, text: str) -> Generator[list[CallToolResult]]:
    """Have the agent's MCP client call a tool that needs a person, in a thread of its own."""
    answers: list[CallToolResult] = []

    async def call() -> None:
        async with desk.client() as client:
            answers.append(await client.call_tool("effect", {"word": text}))

    thread = threading.Thread(target=lambda: asyncio.run(call()))
    thread.start()
    try:
        yield answers
    finally:
        thread.join(60)
    assert not thread.is_alive()
