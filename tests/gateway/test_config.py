"""`oncegate.yaml`: what it says, and how it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol, cast

import jsonschema
import pytest
from ruamel.yaml import YAML

from gateway.config import Address, Config, ConfigInvalid, Tool, load, timeout_seconds
from gateway.config.schema import schema, schema_text
from gateway.config.verify import patterns_meet
from tests.gateway.config_refusals import REFUSED, START, Refused

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SHIPPED = sorted((ROOT / "gateway").glob("**/oncegate.yaml"))
ISSUER = '{issuer: "https://i", jwks_url: "https://i/jwks", algorithms: [RS256], audience: g'


def read(folder: Path, text: str) -> Config:
    (folder / "oncegate.yaml").write_text(text, encoding="utf-8")
    return load(folder / "oncegate.yaml")


def problems(folder: Path, text: str) -> list[str]:
    """Return the problems of `text` as `line: message`."""
    with pytest.raises(ConfigInvalid) as caught:
        read(folder, text)
    place = str(folder / "oncegate.yaml")
    assert {problem.file for problem in caught.value.problems} == {place}
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.requirement("CFG-01")
def test_a_version_and_one_upstream_are_enough_and_the_rest_is_safe(tmp_path: Path) -> None:
    config = read(tmp_path, START)
    assert config.listen == Address("127.0.0.1", 8080)
    assert config.admin.loopback
    assert config.public_url == "http://127.0.0.1:8080"
    assert config.state.path == tmp_path / "oncegate.db"
    assert config.state.synchronous == "FULL"
    assert [str(key) for key in config.secret_keys] == ["file:oncegate.key"]
    assert config.secret_keys[0].path == tmp_path / "oncegate.key"
    assert config.policies_folder == tmp_path / "policies"
    assert config.redaction.profiles_file == tmp_path / "policies" / "redaction.yaml"
    assert not config.development
    assert config.limits.body_bytes_max == 8 * 1024 * 1024
    assert config.runs.idle_seconds == 86400
    assert config.models["m"].sent_name == "m"
    assert config.telemetry.audit == "required"


@pytest.mark.requirement("CFG-01")
def test_the_companys_example_is_read_into_typed_values_with_units() -> None:
    config = load(ROOT / "examples" / "company.yaml")
    assert (config.listen.host, config.listen.loopback) == ("0.0.0.0", False)  # noqa: S104 - what the example says
    assert config.state.path == Path("/var/lib/oncegate/oncegate.db")
    issuer = config.trust_domains["acme"].issuers[0]
    assert (issuer.lifetime_seconds_max, issuer.leeway_seconds, issuer.audience) == (
        3600,
        30,
        ("https://gateway.example",),
    )
    assert config.trust_domains["partner"].issuers[0].agents == ("orders-*", "invoicing")
    payments = config.mcp_servers["payments"]
    assert payments.tools["charge_card"].timeout_seconds == 90
    assert payments.tools["refund"].idempotency_argument == "request_id"
    credential = config.mcp_servers["search"].credential
    assert credential is not None
    assert (credential.header_name, str(credential.reference)) == ("x-search-key", "env:SEARCH_KEY")
    assert config.mcp_servers["files"].command == ("mcp-server-filesystem", "/srv/data")
    price = config.models["gpt-5-mini"].price
    assert price is not None
    assert price.cached_input_usd == 0.025
    assert config.resilience["model/*"].timeout_seconds == 300


@pytest.mark.requirement("CFG-02")
def test_all_problems_are_listed_together_with_their_lines_and_the_nearest_name(tmp_path: Path) -> None:
    text = """version: 1
lissten: x
listen: 0.0.0.0:80
trust_domains:
  acme:
    issuers:
      - {issuer: "https://i", jwks_url: "http://idp/x", algorithms: [RS256, ES256], audience: g}
models:
  gpt: {provider: opnai, url: "https://api.openai.com/v1"}
  two: {provider: openai, url: "https://api.openai.com/v1", domain: acmee}
mcp_servers:
  files: {url: "http://x/mcp", command: [x]}
  bad__name: {url: "http://x/mcp", tools: {t: {effect: onse, timeout: 10}}}
limits: {body: 8MB}
runs: [1]
"""
    assert problems(tmp_path, text) == [
        "2: unknown setting `lissten`; did you mean `listen`?",
        "7: algorithms of one family are expected, not of EC, RSA",
        "7: expected https; plain http is for loopback only",
        "9: `opnai` is not known here; did you mean `openai`?",
        "10: trust domain `acmee` is not among `trust_domains`; did you mean `acme`?",
        "12: `mcp_servers.files` needs `url` or `command`, and only one of them",
        "13: `bad__name` cannot be a server's name; it must match `[A-Za-z0-9]([A-Za-z0-9.-]|_(?!_)){0,63}`",
        "13: `onse` is not known here; did you mean `once`?",
        "13: expected a duration such as `500ms`, `10s`, `5m`, `1h` or `7d`, not `10`",
        "14: expected a size such as `64KiB` or `8MiB`, not `8MB`",
        "15: `runs` must be a mapping of settings",
    ]


@pytest.mark.requirement("CFG-03")
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_meant_is_refused_where_it_stands(tmp_path: Path, case: Refused) -> None:
    found = problems(tmp_path, case.file)
    assert any(problem.startswith(case.found) for problem in found), found
    # neither a secret nor a password stands in a message
    assert not any(secret in problem for problem in found for secret in ("verysecret", "hunter2"))
    # one cause does not bring a flood
    assert len(found) <= 4, found


@pytest.mark.requirement("CFG-02")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version: 1\nhosts: ['\xff']\n", "2: is not UTF-8"),
        (b"#" * (1024 * 1024 + 1), "0: is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "oncegate.yaml").write_bytes(content)
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path / "oncegate.yaml")
    assert [f"{problem.line}: {problem.message}" for problem in caught.value.problems] == [message]


@pytest.mark.requirement("CFG-02")
def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"nowhere\.yaml: cannot be read: no such file"):
        load(tmp_path / "nowhere.yaml")


@pytest.mark.requirement("CFG-04")
def test_the_shipped_schema_is_the_one_the_types_give() -> None:
    assert (ROOT / "gateway" / "shipped" / "oncegate.schema.json").read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft202012Validator.check_schema(schema())


class Loads(Protocol):
    """The part of the untyped YAML reader that is used here."""

    def load(self, text: str) -> object: ...


def valid(text: str) -> bool:
    tree = cast("Loads", YAML(typ="safe", pure=True)).load(text)
    # a JSON round trip, because the schema is about JSON values
    try:
        jsonschema.validate(json.loads(json.dumps(tree)), schema(), cls=jsonschema.Draft202012Validator)
    except jsonschema.ValidationError:
        return False
    return True


@pytest.mark.requirement("CFG-04")
@pytest.mark.parametrize("path", [*EXAMPLES, *SHIPPED], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_is_read_and_accepted_by_the_schema_it_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=oncegate.schema.json\n")
    load(path)
    assert valid(text)


@pytest.mark.requirement("CFG-04")
@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in REFUSED.items() if case.by_form])
def test_the_schema_refuses_what_is_refused_by_its_form(case: Refused) -> None:
    assert not valid(case.file)


@pytest.mark.requirement("CFG-05")
@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("*", "a", True), ("a", "a", True), ("a", "b", False), ("a*", "*b", True), ("a*", "b*", False),
        ("a*c", "ab*", True), ("", "*", True), ("x*y", "x*z", False), ("*a*b*", "b*a", True), ("a*a", "a", False),
    ],
)  # fmt: skip
def test_patterns_of_agents_meet_when_one_name_fits_both(one: str, other: str, meet: bool) -> None:  # noqa: FBT001 - a table's column
    assert patterns_meet(one, other) is patterns_meet(other, one) is meet


@pytest.mark.requirement("CFG-05")
def test_issuers_may_share_names_when_both_say_so(tmp_path: Path) -> None:
    shared = f"{ISSUER}, shared_names: true}}"
    other = shared.replace("//i", "//j")
    config = read(tmp_path, f"{START}trust_domains:\n  a:\n    issuers:\n      - {shared}\n      - {other}\n")
    assert len(config.trust_domains["a"].issuers) == 2


@pytest.mark.requirement("CFG-01")
def test_the_most_specific_pattern_decides_how_long_a_call_may_take(tmp_path: Path) -> None:
    text = """resilience:
  "**": {timeout: 50s}
  "model/*": {timeout: 5m}
  "mcp/payments/**": {timeout: 20s}
  "mcp/*/tool/charge_*": {timeout: 30s}
  "mcp/payments/tool/charge_card": {timeout: 90s}
"""
    config = read(tmp_path, START + text)
    assert timeout_seconds(config, "model/m") == 300
    assert timeout_seconds(config, "mcp/payments/tool/charge_card") == 90
    assert timeout_seconds(config, "mcp/payments/tool/find_invoice") == 20
    assert timeout_seconds(config, "mcp/other/tool/charge_all") == 30
    assert timeout_seconds(config, "run/billing") == 50
    assert timeout_seconds(read(tmp_path, START), "run/billing") == 60
    tool = Tool(name="charge_card", timeout_seconds=7.0)
    assert timeout_seconds(config, "mcp/payments/tool/charge_card", tool) == 7


@pytest.mark.requirement("CFG-03", "HIST-10")
@pytest.mark.parametrize("name", ["finished", "failed", "calls", "keys"])
def test_a_retention_that_would_forget_labels_while_they_count_is_refused(tmp_path: Path, name: str) -> None:
    (problem,) = problems(tmp_path, f"{START}retention: {{{name}: 23h}}\n")
    assert problem.endswith("labels would be forgotten while they count; expected no less than `runs.label_ttl`")
    kept = read(tmp_path, f"{START}retention: {{{name}: 23h}}\nruns: {{label_ttl: 23h}}\n")
    assert kept.runs.label_ttl_seconds == 23 * 3600


@pytest.mark.requirement("CFG-03")
def test_the_hosts_served_are_those_of_the_listeners_the_public_url_and_the_list(tmp_path: Path) -> None:
    assert read(tmp_path, START).host_names == {"127.0.0.1", "localhost", "[::1]"}
    text = "public_url: https://Gateway.example:8443\nhosts: [other.example, '[2001:db8::1]:80', 'x:1']\n"
    expected = {"127.0.0.1", "localhost", "[::1]", "gateway.example", "other.example", "[2001:db8::1]", "x"}
    assert read(tmp_path, START + text).host_names == expected
    company = load(ROOT / "examples" / "company.yaml")
    assert company.host_names == {"127.0.0.1", "localhost", "[::1]", "gateway.example"}
