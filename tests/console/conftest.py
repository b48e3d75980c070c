"""One gateway with an MCP server for all browser tests, and a browser."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.approvals.stand import POLICY, Office, office
from tests.console.provider import CLIENT, SECRET, OpenIdProvider
from tests.mcp.stand import TOP

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser

LOGIN = (
    ', login: {{issuer: "{url}", client_id: {client}, client_secret: file:client.secret, algorithms: [ES256], '
    "roles_claim: groups, roles: {{ops: operator, finance: [approver, finance]}}, scopes: [openid, profile]}}"
)
ROLES = """
p, role:finance, acme, admin/approvals/finance, approve, -, allow, -
g, agent:boss, role:admin, acme
g, agent:watcher, role:viewer, acme
p, agent:boss, acme, admin/approvals/finance, approve, -, allow, -
"""


# Playwright's loop runs in this thread as long as it lives: for the tests of one module, not for all that follow
@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium here; `make test-parts` brings Debian's")
    with sync_playwright() as playwright:
        # as root Chromium runs only without its sandbox
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=path, args=options)
        yield running
        running.close()


@pytest.fixture(scope="session")
def people() -> Generator[OpenIdProvider]:
    """The provider by which people of `acme` log in."""
    running = OpenIdProvider(people={"ann": {"groups": ["ops", "finance"]}, "bob": {"groups": ["ops"]}, "eve": {}})
    yield running
    running.close()


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory, people: OpenIdProvider) -> Generator[Office]:
    folder = tmp_path_factory.mktemp("console")
    (folder / "client.secret").write_text(SECRET, encoding="utf-8")
    with office(folder, wait="20s", more=LOGIN.format(url=people.url, client=CLIENT)) as running:
        admin = (TOP / "policies" / "admin.csv").read_text(encoding="utf-8").replace("g, agent:operator", "# ")
        running.write_policy(POLICY + admin + ROLES)
        for name in ("boss", "watcher"):
            made = running.oncegate("token", "create", "--agent", name, "--domain", "acme", "--admin")
            assert made.returncode == 0, made.stderr
            running.keys[name] = made.stdout.strip().split()[-1]
        yield running
