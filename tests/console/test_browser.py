"""The console in a real headless Chromium, over a real gateway, with an unmodified MCP client that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.console.browsing import PAGES, barriers, page_of, waiting_call

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.approvals.stand import Office


HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'">{{7*7}}'


@pytest.mark.requirement("CON-05", "CON-04")
def test_a_call_that_waits_is_approved_in_the_browser_and_goes_on(
    browser: Browser, desk: Office, tmp_path: Path
) -> None:
    with page_of(browser, desk) as page, waiting_call(desk, f"pay {HOSTILE}") as answers:
        page.goto("/approvals?state=pending")
        page.wait_for_selector("table a")  # comes by itself: the page is live
        assert page.locator("input[type=checkbox]").count() == 0  # nothing approves two at once
        page.click("table a")
        page.wait_for_selector("text=The exact arguments")
        assert "window.hacked" in page.locator("pre").first.inner_text()
        for row in ("who asks", "risk", "policy line", "may not decide"):
            assert page.locator(f"tr:has(th:text-is('{row}')) td").inner_text() not in {"", "-"}, row
        assert barriers(page) == []
        page.screenshot(path=tmp_path / "approval.png")
        page.click("text=Approve this call")
        page.wait_for_selector(".tag:has-text('used'), .tag:has-text('approved')")
    (answer,) = answers
    assert not answer.is_error
    assert len(desk.counted()) == 1


@pytest.mark.requirement("CON-01", "CON-06")
def test_every_page_opens_and_nothing_foreign_is_loaded(browser: Browser, desk: Office, tmp_path: Path) -> None:
    with page_of(browser, desk) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in PAGES:
            page.goto(path)
            page.wait_for_selector("h1")
            assert page.locator("[aria-current=page]").count() == 1
            page.screenshot(path=tmp_path / f"{path.strip('/') or 'overview'}.png", full_page=True)
        page.goto("/calls")
        page.click("table a")
        page.wait_for_selector("text=Request, redacted")
        page.screenshot(path=tmp_path / "call.png", full_page=True)
        page.goto("/tools")
        page.click("table a")
        page.wait_for_selector("text=Accepted before")
        page.screenshot(path=tmp_path / "tool.png", full_page=True)
        own = f"http://127.0.0.1:{desk.admin}/"
        assert [url for url in asked if not url.startswith((own, "data:"))] == []


@pytest.mark.requirement("CON-01")
def test_the_try_box_verify_now_and_explain_answer_on_their_pages(browser: Browser, desk: Office) -> None:
    with page_of(browser, desk) as page:
        page.goto("/redaction")
        page.fill("#text", f"write to ada@example.com {HOSTILE}")
        page.select_option("#profile", "standard")
        page.click("text=Redact >> nth=-1")
        page.wait_for_selector("[data-result]:has-text('findings')")
        assert "ada@example.com" not in page.locator("[data-result]").inner_text()
        page.goto("/audit")
        page.click("text=Verify now")
        page.wait_for_selector('[data-result]:has-text("true")')
        page.goto("/policies")
        page.fill("#subject", "agent:acme/billing")
        page.fill("#resource", "mcp/pay/tool/effect")
        page.click("button:has-text('Explain')")
        page.wait_for_selector("#explained")
        assert "approval" in page.locator("#explained").inner_text()


@pytest.mark.requirement("CON-04")
def test_hostile_words_in_every_query_are_text(browser: Browser, desk: Office) -> None:
    with page_of(browser, desk) as page:
        for path in PAGES:
            names = ("agent", "state", "run", "resource", "subject", "action", "user", "server", "event", "call")
            page.goto(f"{path}?{httpx.QueryParams(dict.fromkeys(names, HOSTILE))}")
            page.wait_for_selector("h1")
            assert page.locator("img").count() == 0


@pytest.mark.requirement("CON-02")
def test_a_wrong_token_is_refused_and_logging_out_ends_the_session(browser: Browser, desk: Office) -> None:
    with page_of(browser, desk, None) as page:
        page.goto("/calls")
        page.wait_for_url("**/login")
        page.fill("#token", "og_wrong_wrong")
        page.click("button")
        page.wait_for_selector(".message.bad:not(:empty)")
        page.fill("#token", desk.keys["boss"])
        page.click("button")
        page.wait_for_url("**/")
        (cookie,) = page.context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        page.click("text=Log out")
        page.wait_for_url("**/login")
        page.goto("/calls")
        page.wait_for_url("**/login")


@pytest.mark.requirement("CON-01")
def test_a_viewer_sees_and_changes_nothing(browser: Browser, desk: Office) -> None:
    with page_of(browser, desk, "watcher") as page:
        page.goto("/audit")
        page.wait_for_selector("caption")
        with httpx.Client(base_url=f"http://127.0.0.1:{desk.admin}", timeout=60) as client:
            headers = {"authorization": f"Bearer {desk.keys['watcher']}"}
            said = {"domain": "acme", "user": "ann", "reason": "asked for"}
            assert client.post("/api/v1/audit/erase", json=said, headers=headers).status_code == 403
    with page_of(browser, desk, "clerk") as page:  # an approver of another group has no role here
        page.goto("/calls")
        page.wait_for_selector("text=403")


@pytest.mark.requirement("CON-01")
def test_it_is_used_by_keyboard_alone(browser: Browser, desk: Office) -> None:
    with page_of(browser, desk) as page:
        page.goto("/runs")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#main"
        fields = "[...document.querySelectorAll('input,select,textarea')].filter(e => e.type !== 'hidden')"
        assert page.evaluate(f"{fields}.every(e => e.labels.length)")


@pytest.mark.requirement("CON-12")
def test_an_agent_is_blocked_and_let_in_again_from_its_page(browser: Browser, desk: Office) -> None:
    with page_of(browser, desk) as page:
        for button, shown in (("Block", "test of the switch"), ("Let in again", "nobody")):
            page.goto("/agents")
            page.fill("#subject", "agent:acme/billing")
            page.fill("#reason", "test of the switch")
            page.click(f"button:text-is('{button}')")
            page.wait_for_selector(f"td:has-text('{shown}')")
