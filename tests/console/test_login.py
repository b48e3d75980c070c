"""People log in by an OpenID provider, in a real browser, on another site than the console's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.console.browsing import page_of, waiting_call

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.approvals.stand import Office
    from tests.console.provider import OpenIdProvider


def log_in(page: Page, who: str) -> None:
    page.goto("/login")
    page.click("text=Log in to acme")
    page.wait_for_selector("text=Who are you?")
    page.click(f"text=I am {who}")
    page.wait_for_selector("nav.side")


@pytest.mark.requirement("CON-15")
def test_a_person_of_the_right_groups_logs_in_approves_and_logs_out_of_both(
    browser: Browser, desk: Office, people: OpenIdProvider
) -> None:
    with page_of(browser, desk, None) as page:
        log_in(page, "ann")
        assert page.url == f"http://127.0.0.1:{desk.admin}/"
        assert "agent:acme/ann" in page.locator("nav.side .who").inner_text()
        (cookie,) = [one for one in page.context.cookies() if one.get("name") == "oncegate_session"]
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        assert "oncegate_login" not in {one.get("name") for one in page.context.cookies()}
        with waiting_call(desk, "pay for ann") as answers:
            page.goto("/approvals?state=pending")
            page.wait_for_selector("table a")
            page.click("table a")
            page.click("text=Approve this call")
            page.wait_for_selector(".tag:has-text('used'), .tag:has-text('approved')")
        assert not answers[0].is_error
        page.click("text=Log out")
        page.wait_for_url("**/login")
        assert people.logged_out[-1]["post_logout_redirect_uri"].endswith("/login")
        assert people.logged_out[-1]["id_token_hint"]
        page.goto("/calls")
        page.wait_for_url("**/login")
    assert people.complaints == []
    records = [one for one in desk.audited() if one["event"] in {"login", "logout"} and "issuer" in one]
    assert [(one["event"], one["principal"], one["groups"]) for one in records[-2:]] == [
        ("login", "agent:acme/ann", ["finance", "ops"]), ("logout", "agent:acme/ann", ["finance", "ops"]),
    ]  # fmt: skip


@pytest.mark.requirement("CON-15")
def test_who_is_in_no_group_sees_nothing_and_may_leave(browser: Browser, desk: Office) -> None:
    with page_of(browser, desk, None) as page:
        log_in(page, "eve")
        page.wait_for_selector("text=403")
        page.click("text=Log out")
        page.wait_for_url("**/login")


@pytest.mark.requirement("CON-15", "CON-16")
def test_a_person_who_is_blocked_is_out_at_once(browser: Browser, desk: Office) -> None:
    with page_of(browser, desk, None) as page:
        log_in(page, "bob")
        page.goto("/calls")
        page.wait_for_selector("caption")
        done = desk.oncegate("block", "agent:acme/bob", "--unknown", "--reason", "left the company")
        assert done.returncode == 0, done.stderr
        page.goto("/calls")
        page.wait_for_selector("text=403")
        page.goto("/login/openid/acme")
        page.click("text=I am bob")
        page.wait_for_selector("[role=alert]")
        assert desk.oncegate("unblock", "agent:acme/bob", "--reason", "came back").returncode == 0


@pytest.mark.requirement("CON-16", "CON-03")
def test_a_callback_that_nobody_began_gives_no_session(desk: Office) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{desk.admin}", timeout=60) as client:
        for path in ("acme?code=x&state=y", "acme", "vendors?code=x&state=y", "acme?state=a&state=b&code=x"):
            answer = client.get(f"/login/callback/{path}")
            assert answer.status_code in {400, 403}
            assert "oncegate_session" not in str(answer.headers)
        assert client.get("/login/openid/vendors").status_code == 404
        begun = client.get("/login/openid/acme")
        assert begun.status_code == 303
        assert re.fullmatch(
            r"oncegate_login=[\w.-]+; Path=/; HttpOnly; SameSite=Lax; Max-Age=600", begun.headers["set-cookie"]
        )
        other = client.get("/login/callback/acme?code=x&state=y")
        assert (other.status_code, "belongs to another login" in other.text) == (403, True)
