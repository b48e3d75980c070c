"""The token cases of facts/policy.md B4 that show on a running gateway, by their numbers, and that none is missing."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from durable.step import RunRef
from gateway.identity import Authenticator, Unidentified
from policy.decision import Principal
from tests.gateway.running import HERE
from tests.identity.authority import CONFIG, SECRET, bearer, claims, sign, write_config
from tests.identity.test_bound_tokens import JKT, proof
from tests.mcp.stand import eventually
from tests.mcp.wire import LEGACY, called, headers_for, modern, post
from tests.oauth.authority import Authority
from tests.oauth.ledger import Ledger
from tests.oauth.stand import RULES, Stand, stand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.mcp.wire import Answered, Tree

NUMBERS: Final = range(1, 67)
#: Cases that are tested where what they are about is tested: the number, and a test's name there.
ELSEWHERE: Final = {
    8: [("tests/identity/test_tokens.py", "8 HS256 with the public key as secret")],
    65: [
        ("tests/approvals/test_running.py", "test_only_the_group_sees_and_decides_and_the_requester_never"),
        ("tests/approvals/test_running.py", "test_an_approval_counts_once_and_for_nothing_else"),
        ("tests/contracts/test_approvals.py", "test_past_its_time_or_its_run_an_approval_is_over"),
    ],
}
SERVERS: Final = """\
  open: {url: "@ledger@", era: modern, domain: acme}
  scoped: {url: "@ledger@", era: modern, domain: acme, scopes: {list: notes, call: [notes.write]}}
"""
MORE: Final = """p, role:any, acme, mcp/open/tool/note, call, small, allow, -
p, role:any, acme, mcp/open/tool/erase, call, inside, allow, -
p, role:any, acme, mcp/open/resource/file/-/public/**, read, -, allow, -
"""
CONDITIONS: Final = """small: "args.amount > 0 && args.amount < 1000"
inside: 'under(args.path, "/data")'
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    authority, ledger = Authority(), Ledger()
    with stand(
        tmp_path_factory.mktemp("cases"), SERVERS, authority=authority, ledger=ledger, more=", dpop: accept"
    ) as found:
        folder, before = found.gateway.folder / "policies", digest(found)
        (folder / "conditions.yaml").write_text(CONDITIONS, encoding="utf-8")
        kept = RULES.replace("mcp/**, call", "mcp/scoped/**, call")
        found.gateway.write_policies(kept + MORE)
        assert eventually(lambda: digest(found) != before and allowed(found))
        yield found
    authority.close()
    ledger.close()


def digest(running: Stand) -> str:
    return str(httpx.get(f"{running.gateway.url}/readyz", timeout=60).json()["policies"])


def allowed(running: Stand) -> bool:
    return ask(running, "note", {"amount": 5}).text == "noted"


def ask(running: Stand, tool: str, arguments: Tree, meta: Tree | None = None) -> Answered:
    return running.send(running.endpoint("open"), called(tool, arguments, meta=meta), running.token())


def refused(answered: Answered) -> bool:
    """Return whether nothing was done: an error, or a tool's result that is one."""
    return answered.status >= 400 or "error" in answered.last or answered.last["result"].get("isError") is True


@pytest.mark.requirement("IDN-21")
def test_case_49_a_token_without_the_scope_is_403_with_all_scopes(running: Stand) -> None:
    answered = running.call("scoped", token=running.token(scope="notes"))
    assert answered.status == 403
    challenge = answered.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="notes notes.write"' in challenge
    assert "resource_metadata=" in challenge


@pytest.mark.requirement("IDN-21")
def test_case_50_a_denial_is_403_for_a_model_and_a_result_for_a_tool(running: Stand) -> None:
    asked = {"model": "allowed", "messages": [{"role": "user", "content": "hi"}]}
    denied = running.gateway.chat(asked)
    assert (denied.status_code, "rule default" in denied.text) == (403, True)
    assert denied.headers["oncegate-correlation"]
    answered = ask(running, "note", {"amount": 5000})
    assert (answered.status, answered.last["result"]["isError"]) == (200, True)
    assert "rule default" in answered.text
    assert answered.headers["oncegate-correlation"]


@pytest.mark.requirement("IDN-15", "IDN-21")
def test_cases_52_and_53_a_bound_token_opens_the_gateway_with_a_proof_for_this_request_once(running: Stand) -> None:
    place = running.endpoint("open")
    token = running.token(cnf={"jkt": JKT})
    message = called("note", {"amount": 5})

    def send(shown: str, made: str) -> Answered:
        return post(place, message, headers_for(message) | {"authorization": f"{shown} {token}", "dpop": made})

    good = proof(token, changes={"htu": place})
    assert send("DPoP", good).text == "noted"
    replayed = send("DPoP", good)
    assert replayed.status == 401
    assert replayed.headers["www-authenticate"].startswith('DPoP error="invalid_dpop_proof"')
    assert send("Bearer", proof(token, changes={"htu": place})).status == 401
    assert send("DPoP", proof(token, changes={"htu": f"{place}x"})).status == 401
    assert send("DPoP", proof(token, changes={"htu": place, "htm": "GET"})).status == 401


@pytest.mark.requirement("IDN-21")
@pytest.mark.parametrize("name", ["host", "origin"])
def test_case_54_a_foreign_host_or_origin_is_403(running: Stand, name: str) -> None:
    value = "evil.example" if name == "host" else "https://evil.example"
    message = called("note", {"amount": 5})
    headers = headers_for(message) | {"authorization": f"Bearer {running.token()}", name: value}
    assert post(running.endpoint("open"), message, headers).status == 403


@pytest.mark.requirement("IDN-21")
def test_case_56_an_identity_in_meta_or_baggage_is_ignored(running: Stand) -> None:
    meta = {"agent": "admin", "principal": "agent:acme/admin", "baggage": "agent=admin", "dev.oncegate/agent": "admin"}
    assert ask(running, "note", {"amount": 5}, meta).text == "noted"
    lines = running.gateway.oncegate("audit", "export").stdout.splitlines()
    principals = {json.loads(line)["record"].get("principal") for line in lines}
    assert "agent:acme/billing" in principals
    assert not any("admin" in str(one) for one in principals)


@pytest.mark.requirement("IDN-21")
def test_case_57_a_session_of_another_principal_is_404(running: Stand) -> None:
    url = running.endpoint("open")
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}
    plain = headers_for({}) | {"authorization": f"Bearer {running.token()}"}
    opened = post(url, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, plain)
    session = {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": LEGACY}
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert post(url, listing, plain | session).status == 200
    other = running.authority.sign("shipping", "https://gateway.example")
    assert post(url, listing, plain | session | {"authorization": f"Bearer {other}"}).status == 404


CALL: Final = json.dumps(called("note", {"amount": 5}))
DOUBLED: Final = [
    ("a batch", f"[{CALL}]"),
    ("two ids", CALL.replace('"id": 1', '"id": 1, "id": 2')),
    ("two methods", CALL.replace('"method":', '"method": "tools/list", "method":', 1)),
    ("two names", CALL.replace('"name": "note"', '"name": "erase", "name": "note"')),
    ("two amounts", CALL.replace('"amount": 5', '"amount": 5, "amount": 5000')),
]


@pytest.mark.requirement("IDN-21")
@pytest.mark.parametrize("content", [one[1] for one in DOUBLED], ids=[one[0] for one in DOUBLED])
def test_case_60_what_two_parsers_could_read_differently_is_400(running: Stand, content: str) -> None:
    notes = len(running.ledger.notes)
    headers = headers_for(called("note")) | {"authorization": f"Bearer {running.token()}"}
    assert post(running.endpoint("open"), content.encode(), headers).status == 400
    assert len(running.ledger.notes) == notes


@pytest.mark.requirement("IDN-21")
@pytest.mark.parametrize(
    "tool", ["../note", "note/../note", "%2e%2e%2fnote", "note%2f", "note\n", "note ", "n\u043ete", "note\u200b",
             "NOTE", "", "*"],
)  # fmt: skip
def test_case_61_a_tools_name_in_disguise_is_refused(running: Stand, tool: str) -> None:
    notes = len(running.ledger.notes)
    message = called(tool, {"amount": 5})
    headers = headers_for(message) | {"authorization": f"Bearer {running.token()}"}
    headers.pop("mcp-name")  # what a header cannot carry is left to the body
    assert refused(post(running.endpoint("open"), message, headers))
    plain = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {"amount": 5}}}
    assert refused(running.send(running.endpoint("open"), plain, running.token()))
    assert len(running.ledger.notes) == notes


AMOUNTS: Final = ['"1"', "1e309", "-1", "true", "null", "[1]", "{}", "1e3", "1000", '"1e1"', "NaN", None]


@pytest.mark.requirement("IDN-21")
@pytest.mark.parametrize("amount", AMOUNTS)
def test_case_62_an_amount_that_is_not_one_in_bounds_is_denied(running: Stand, amount: str | None) -> None:
    notes = len(running.ledger.notes)
    arguments = '"arguments": {}' if amount is None else f'"arguments": {{"amount": {amount}}}'
    content = CALL.replace('"arguments": {"amount": 5}', arguments)
    assert content != CALL
    headers = headers_for(called("note")) | {"authorization": f"Bearer {running.token()}"}
    assert refused(post(running.endpoint("open"), content.encode(), headers))
    assert len(running.ledger.notes) == notes


@pytest.mark.requirement("IDN-21")
@pytest.mark.parametrize(
    "path",
    ["/data/../etc", "/data%2f..%2fetc", "/data/%2e%2e/etc", "/DATA/x", "/dataset", "data/x", "//data/x", "/data/..",
     "/data/x\u0000", "file:///data/x", "/proc/self/root/data/x", "", "~/data"],
)  # fmt: skip
def test_case_63_a_path_that_leads_elsewhere_is_denied(running: Stand, path: str) -> None:
    notes = len(running.ledger.notes)
    assert refused(ask(running, "erase", {"path": path}))
    assert len(running.ledger.notes) == notes


@pytest.mark.requirement("IDN-21")
def test_case_63_a_path_inside_is_allowed(running: Stand) -> None:
    assert ask(running, "erase", {"path": "/data/x"}).text == "noted"


@pytest.mark.requirement("IDN-21")
@pytest.mark.parametrize(
    "uri",
    ["file:///etc/passwd", "file:///public/../etc/passwd", "file:///public/%2e%2e/etc", "file://user@host/public/x",
     "https://user:pass@intern/x", "file:///public/x#y", "file:///public//x", "FILE:///etc/x", "x", "file:"],
)  # fmt: skip
def test_case_64_a_resource_that_is_not_listed_is_denied(running: Stand, uri: str) -> None:
    message: dict[str, Any] = modern("resources/read", {"uri": uri})
    assert refused(running.send(running.endpoint("open"), message, running.token()))


@dataclass
class Row:
    """The one run there is, opened with a token."""

    opener: Principal | None = None

    async def principal(self, run_id: str, attempt: int) -> tuple[Principal, Principal] | None:
        opener = self.opener
        return None if opener is None or (run_id, attempt) != ("run_1", 1) else (opener, opener)


@pytest.mark.requirement("IDN-21")
@pytest.mark.anyio
async def test_case_66_a_run_goes_on_as_its_row_says_after_its_token_has_expired(tmp_path: Path) -> None:
    row = Row()
    config = write_config(tmp_path, CONFIG.replace("leeway: 30s", "leeway: 0s"))
    authenticator = await Authenticator.open(config, secrets=[SECRET], run_principal=row.principal)
    now = int(time.time())
    token = sign(claims(iat=now - 10, exp=now - 1))
    with pytest.raises(Unidentified):
        await authenticator.identify(bearer(token))
    row.opener = Principal(agent="billing", domain="acme", method="run_token", credential="jti:0011223344556677")
    minted = authenticator.mint_run_token(run_id="run_1", attempt=1, expires=now + 60)
    found = await authenticator.identify(bearer(minted))
    # who it is comes from the row; each call is decided anew, and the old token is nowhere
    assert (found.principal, found.run) == (row.opener, RunRef("run_1", 1))
    await authenticator.aclose()


@pytest.mark.requirement("IDN-21")
@pytest.mark.parametrize("number", NUMBERS)
def test_every_case_has_a_test(number: int) -> None:
    if number in ELSEWHERE:
        for place, name in ELSEWHERE[number]:
            assert name in (HERE / place).read_text(encoding="utf-8")
        return
    said = "\n".join(path.read_text(encoding="utf-8") for path in (HERE / "tests" / "identity").glob("test_*.py"))
    in_name = re.search(rf"def test_cases?_(\d+_and_)?{number}_", said) is not None
    in_range = any(
        int(first) <= number <= int(last) and int(last) - int(first) < 3
        for first, last in re.findall(r"def test_cases_(\d+)_and_(\d+)_", said)
    )
    assert in_name or in_range or f'"{number} ' in said
