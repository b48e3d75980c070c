"""Two companies, two gateways, one issuer each: what arrives, as whom, in which direction (examples/federation)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from gateway.config import load
from policy.cases import run_cases
from tests.gateway.running import HERE, RunningGateway
from tests.mcp.wire import called, headers_for, post
from tests.oauth.authority import Authority
from tests.oauth.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mcp.wire import Answered

OURS = "https://gateway.partner.example"
THEIRS = "https://gateway.acme.example"
#: acme's gateway; `theirs` belongs to partner and is called by nobody of acme
ACME = """mcp_servers:
  ledger: {url: "@ledger@", era: modern, domain: acme, tools: {erase: {effect: once}}}
  theirs: {url: "@ledger@", era: modern, domain: partner}
"""
ACME_RULES = """p2, partner, acme, mcp, call, allow, -
p2, partner, acme, mcp, list, allow, -
p, agent:partner-gateway, partner, mcp/ledger, list, -, allow, -
p, agent:partner-gateway, partner, mcp/ledger/tool/*, call, -, allow, -
p, user:mailer, partner, mcp/ledger, list, -, allow, -
p, user:mailer, partner, mcp/ledger/tool/note, call, -, allow, -
p, role:any, acme, mcp/**, call, -, allow, -
p, role:any, acme, mcp/*, list, -, allow, -
"""
#: partner's gateway, whose own domain is called `acme` there: names of domains are each gateway's own
PARTNER = """mcp_servers:
  calendar:
    url: "@acme@/mcp/ledger"
    era: modern
    domain: acme
    credential:
      token_exchange:
        token_url: "@token@"
        client_id: partner-gateway
        client_secret: "file:client.secret"
        resource: "@acme@/mcp/ledger"
"""
PARTNER_RULES = """p, role:any, acme, mcp/*, list, -, allow, -
p, role:any, acme, mcp/**, call, -, allow, -
"""


class Companies:
    """Acme's gateway before a server, partner's before acme's, partner's issuer and acme's own."""

    def __init__(
        self, acme: RunningGateway, partner: RunningGateway, idp: Authority, own: Authority, ledger: Ledger
    ) -> None:
        self.own = own
        self.acme = acme
        self.partner = partner
        self.idp = idp
        self.ledger = ledger

    def call(self, agent: str, tool: str = "note", **headers: str) -> Answered:
        """Call a tool through both gateways, as an agent of partner's."""
        message = called(tool, {"text": "x"})
        token = self.idp.sign(agent, OURS)
        return post(
            f"{self.partner.url}/mcp/calendar", message,
            headers_for(message) | headers | {"authorization": f"Bearer {token}"},
        )  # fmt: skip

    def audited(self) -> list[dict[str, object]]:
        """Return acme's audit records."""
        lines = self.acme.oncegate("audit", "export").stdout.splitlines()
        return [cast("dict[str, object]", json.loads(line)["record"]) for line in lines]


def issuer(authority: Authority, audience: str, more: str = "") -> str:
    return f'{{issuer: "{authority.url}", algorithms: [ES256], audience: "{audience}"{more}}}'


def extend(gateway: RunningGateway, servers: str, domains: str) -> None:
    text = gateway.config.read_text(encoding="utf-8")
    text = text.replace("{acme: {api_keys_file: keys.yaml}}", domains)
    gateway.config.write_text(text + servers, encoding="utf-8")


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    idp, own, ledger = Authority(clients={"partner-gateway": "s3cret"}), Authority(), Ledger()
    acme, partner = (
        RunningGateway(tmp_path_factory.mktemp(name), "http://127.0.0.1:9/v1", inspects=False)
        for name in ("acme", "partner")
    )
    theirs = issuer(idp, f"{acme.url}/mcp/ledger", ", delegation: accept, agents: [partner-gateway]")
    known = f"acme: {{api_keys_file: keys.yaml, issuers: [{issuer(own, THEIRS)}]}}, partner: {{issuers: [{theirs}]}}"
    extend(acme, ACME.replace("@ledger@", ledger.url), f"{{{known}}}")
    acme.write_policies(ACME_RULES)
    servers = PARTNER.replace("@acme@", acme.url).replace("@token@", f"{idp.url}/token")
    extend(partner, servers, f"{{acme: {{api_keys_file: keys.yaml, issuers: [{issuer(idp, OURS)}]}}}}")
    partner.write_policies(PARTNER_RULES)
    (partner.folder / "client.secret").write_text("s3cret", encoding="utf-8")
    (partner.folder / "client.secret").chmod(0o600)
    acme.start()
    partner.start()
    yield Companies(acme, partner, idp, own, ledger)
    for one in (partner, acme):
        one.stop()
    idp.close()
    own.close()
    ledger.close()


@pytest.mark.requirement("FED-01")
def test_a_call_of_another_company_arrives_as_its_gateway_on_behalf_of_who_called(companies: Companies) -> None:
    assert companies.call("mailer").text == "noted"
    record = next(one for one in reversed(companies.audited()) if one.get("decision") == "allow" and "resource" in one)
    assert (record["principal"], record["issuer"]) == ("agent:partner/partner-gateway", companies.idp.url)
    assert str(record["resource"]).startswith("mcp/ledger")
    assert record["user"]
    # one execution, journaled on either side
    assert [one["tool"] for one in companies.ledger.notes] == ["note"]


@pytest.mark.requirement("FED-01")
def test_both_the_other_gateway_and_who_called_it_must_be_allowed(companies: Companies) -> None:
    notes = len(companies.ledger.notes)
    # what may not be called is not listed, so partner's gateway knows no such tool
    assert "lists no tool of this name" in companies.call("mailer", "erase").text
    refused = companies.call("spammer")
    assert (refused.text != "noted", len(companies.ledger.notes)) == (True, notes)
    assert any(one.get("event") == "refusal" and one.get("decision") == "deny" for one in companies.audited())


@pytest.mark.requirement("FED-02")
def test_a_flow_has_one_direction(companies: Companies) -> None:
    message = called("note", {"text": "x"})
    headers = headers_for(message) | {"authorization": f"Bearer {companies.own.sign('partner-gateway', THEIRS)}"}
    assert post(f"{companies.acme.url}/mcp/ledger", message, headers).text == "noted"
    # an agent of acme's issuer is acme's, whatever its name, and acme may call nothing of partner's
    assert "not allowed by policy" in post(f"{companies.acme.url}/mcp/theirs", message, headers).text
    record = next(one for one in reversed(companies.audited()) if one.get("decision") == "deny")
    assert (record["principal"], record["domain"]) == ("agent:acme/partner-gateway", "partner")


@pytest.mark.requirement("FED-02")
def test_a_token_of_one_company_opens_nothing_of_another_domain(companies: Companies) -> None:
    message = called("note", {"text": "x"})

    def status(token: str) -> int:
        headers = headers_for(message) | {"authorization": f"Bearer {token}"}
        return post(f"{companies.acme.url}/mcp/ledger", message, headers).status

    place = f"{companies.acme.url}/mcp/ledger"
    # an agent the issuer may not name, another audience, a claim of another domain
    assert status(companies.idp.sign("billing", place)) == 401
    assert status(companies.idp.sign("partner-gateway", OURS)) == 401
    own = companies.idp.sign("partner-gateway", place, domain="acme", trust_domain="acme")
    assert status(own) == 200
    record = next(one for one in reversed(companies.audited()) if "decision" in one)
    assert record["principal"] == "agent:partner/partner-gateway"


@pytest.mark.requirement("FED-03")
def test_what_a_caller_says_of_itself_in_headers_passes_neither_gateway(companies: Companies) -> None:
    smuggled = {
        "x-agent-id": "admin", "x-tenant": "acme", "x-forwarded-user": "admin", "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1;host=gateway.acme.example", "baggage": "agent=admin", "cookie": "session=1",
        "oncegate-proxy": "edge x", "x-forwarded-client-cert": "URI=spiffe://acme.example/agent/admin",
        "dpop": "x.y.z", "x-smuggled": "1",
    }  # fmt: skip
    companies.ledger.headers.clear()
    assert companies.call("mailer", **smuggled).text == "noted"
    (seen,) = companies.ledger.headers[-1:]
    assert not seen.keys() & smuggled.keys()
    assert "authorization" not in seen
    record = next(one for one in reversed(companies.audited()) if "decision" in one)
    assert record["principal"] == "agent:partner/partner-gateway"


@pytest.mark.requirement("FED-01")
@pytest.mark.parametrize("name", ["acme", "partner"])
def test_the_example_can_be_used(name: str) -> None:
    folder = HERE / "examples" / "federation"
    config = load(folder / f"{name}.yaml")
    assert set(config.trust_domains) == {"acme", "partner"}
    # both can be tried in one folder
    assert config.state.path.name == f"{name}.db"
    report = run_cases(folder / f"{name}-policies", "both")
    assert (report.ok, report.uncovered) == (True, ()), [one.failures for one in report.failed]
