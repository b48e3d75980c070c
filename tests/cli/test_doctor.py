"""`oncegate doctor`: each line is what was found and what to do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import sqlite3
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from durable.journal import JournalRefused
from durable.seal import Keyring
from durable.sqlite import open_sqlite
from gateway.cli import checks, engine_checks, network_checks, store_checks
from gateway.cli.attention import attention
from gateway.config import Address, load
from gateway.server import listen_at
from gateway.store import open_store
from tests.cli.stand import ROOT, Stand, loopback, oncegate
from tests.durable.steps import ask, step

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, *lines: str) -> Path:
    path = folder / "oncegate.yaml"
    path.write_text("\n".join(["version: 1", "development: true", *lines]) + "\n")
    return path


def write_key(folder: Path, mode: int = 0o600) -> None:
    path = folder / "oncegate.key"
    path.write_text(base64.b64encode(bytes(32)).decode())
    path.chmod(mode)


@pytest.mark.requirement("CLI-23")
def test_what_has_failed_is_named_with_what_to_do_and_exits_1(tmp_path: Path) -> None:
    Stand(tmp_path).write_config()
    found = oncegate(tmp_path, "doctor", "--json")
    assert found.returncode == 1
    failed = {check["subject"]: check for check in json.loads(found.stdout) if check["health"] == "failure"}
    assert {"secret_key file:oncegate.key", "credential of model demo-model", "model demo-model"} <= set(failed)
    assert all(check["advice"] for check in failed.values())
    people = oncegate(tmp_path, "doctor")
    assert people.returncode == 1
    assert "FAIL  secret_key file:oncegate.key" in people.stdout
    assert "→ `oncegate init` writes one" in people.stdout


@pytest.mark.requirement("CLI-23")
def test_a_broken_configuration_is_shown_with_every_problem(tmp_path: Path) -> None:
    write(tmp_path, "modles: {}", "listen: 7")
    found = oncegate(tmp_path, "doctor")
    assert found.returncode == 1
    assert "oncegate.yaml:3" in found.stdout
    assert "oncegate.yaml:4" in found.stdout


@pytest.mark.requirement("CLI-23")
def test_upstreams_are_connected_to_and_programs_looked_for(tmp_path: Path) -> None:
    with loopback() as listening:
        listening.listen()
        port = listening.getsockname()[1]
        path = write(
            tmp_path,
            "models:",
            f'  here: {{provider: openai, url: "http://127.0.0.1:{port}/v1"}}',
            "mcp_servers:",
            '  away: {url: "http://127.0.0.1:1/mcp"}',
            "  program: {command: [sh]}",
            "  absent: {command: [no-such-program-here]}",
        )
        found = {check.subject: check.health for check in network_checks.upstreams(load(path))}
    assert found == {
        "model here": "ok",
        "server away": "failure",
        "server program": "ok",
        "server absent": "failure",
    }


@pytest.mark.requirement("CLI-23")
def test_a_key_that_others_can_read_or_that_is_none_has_failed(tmp_path: Path) -> None:
    path = write(tmp_path, 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}')
    write_key(tmp_path)
    assert [check.health for check in checks.keys(load(path))] == ["ok"]
    write_key(tmp_path, 0o644)
    assert [check.health for check in checks.keys(load(path))] == ["failure"]
    (tmp_path / "oncegate.key").write_text("short")
    assert [check.health for check in checks.keys(load(path))] == ["failure"]


@pytest.mark.requirement("CLI-23")
def test_a_clock_that_went_back_and_a_state_that_cannot_be_written_have_failed(tmp_path: Path) -> None:
    model = 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}'
    config = load(write(tmp_path, model))
    written = (tmp_path / "oncegate.yaml").stat().st_mtime
    assert checks.clock(config, written + 1).health == "ok"
    assert checks.clock(config, written - 3600).health == "failure"
    assert checks.store(config).health == "ok"
    assert checks.disk(config).subject == "disk"
    elsewhere = load(write(tmp_path, model, "state: sqlite:///absent/oncegate.db"))
    assert checks.store(elsewhere).health == "failure"
    assert checks.disk(elsewhere).health == "failure"
    assert checks.file_system(tmp_path)


@pytest.mark.requirement("CLI-23")
def test_policies_and_profiles_are_read_and_each_problem_shown(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}'))

    def found() -> list[tuple[str, str]]:
        return [(check.subject, check.health) for check in engine_checks.policies(config)]

    assert found() == [("profiles", "failure"), ("policies", "failure")]
    (tmp_path / "policies").mkdir()
    shutil.copy(ROOT / "policies" / "redaction.yaml", tmp_path / "policies")
    lines = tmp_path / "policies" / "own.csv"
    lines.write_text("p, role:any, *, model/m, call, -, allow, redact=standard\n")
    assert ("policies", "ok") in found()
    lines.write_text("p, role:any, *, model/m, call, -, perhaps, -\np, any, *, model/m, call, -, allow, -\n")
    problems = [check.finding for check in engine_checks.policies(config) if check.health == "failure"]
    assert len(problems) == 2
    assert "own.csv:1" in problems[0]


@pytest.mark.requirement("CLI-23")
def test_a_language_model_that_is_absent_names_the_command_that_brings_it(tmp_path: Path) -> None:
    model = 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}'
    found = engine_checks.language_model(load(write(tmp_path, model, "redaction: {model: nowhere}")))
    assert found.health == "failure"
    assert "oncegate model install" in found.advice


def certify(path: Path, begin: datetime, end: datetime) -> None:
    """Write a key and a certificate of its own for 127.0.0.1, good from `begin` to `end`."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ip_address("127.0.0.1"))
    made = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=x509.random_serial_number(),
        not_valid_before=begin, not_valid_after=end,
    ).add_extension(x509.SubjectAlternativeName([address]), critical=False).sign(key, SHA256())  # fmt: skip
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))


@pytest.mark.requirement("CLI-23")
def test_an_upstream_whose_certificate_is_not_good_is_named_before_a_call_meets_it(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    certify(tmp_path / "old.pem", now - timedelta(days=9), now - timedelta(days=2))
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(tmp_path / "old.pem")
    with loopback() as listening:
        listening.listen()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/v1"

        def serve() -> None:
            for _ in range(2):
                with contextlib.suppress(OSError):
                    shown.wrap_socket(listening.accept()[0], server_side=True).close()

        serving = threading.Thread(target=serve)
        serving.start()
        stranger = network_checks.connected("model m", url)
        old = network_checks.connected("model m", url, ssl.create_default_context(cafile=tmp_path / "old.pem"))
        serving.join(60)
    assert "self-signed certificate" in stranger.finding
    assert "certificate has expired" in old.finding
    assert all(one.health == "failure" and "renew" in one.advice for one in (stranger, old))


@pytest.mark.requirement("CLI-23")
def test_the_gateways_own_certificate_is_looked_at_before_it_ends(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    certify(tmp_path / "own.pem", now - timedelta(days=9), now + timedelta(days=30))
    config = load(
        write(
            tmp_path,
            "tls: {certificate_file: own.pem, key_file: own.pem}",
            'models: {m: {provider: openai, url: "http://x/v1"}}',
        )
    )

    def found(days: int) -> tuple[str, bool]:
        (check,) = network_checks.certificate(config, now + timedelta(days=days))
        return check.health, bool(check.advice)

    assert [found(days) for days in (0, 20, 40, -20)] == [
        ("ok", False), ("warning", True), ("failure", True), ("failure", True),
    ]  # fmt: skip
    (tmp_path / "own.pem").write_text("nothing")
    assert found(0) == ("failure", True)


@pytest.mark.requirement("CLI-23")
def test_a_clock_that_differs_from_an_issuers_has_failed() -> None:
    said = "Sun, 06 Nov 1994 08:49:37 GMT"
    theirs = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp()
    assert network_checks.clock_of("issuer x", said, theirs + 20) is None
    assert network_checks.clock_of("issuer x", "soon", theirs) is None
    assert network_checks.clock_of("issuer x", None, theirs) is None
    for apart, word in ((300, "300 s ahead of issuer x"), (-300, "300 s behind issuer x")):
        check = network_checks.clock_of("issuer x", said, theirs + apart)
        assert check is not None
        assert (check.subject, check.health, word in check.finding) == ("clock", "failure", True)


@pytest.mark.requirement("CLI-23")
def test_issuers_are_asked_for_their_keys(tmp_path: Path) -> None:
    more = "audience: x, shared_names: true, algorithms: [ES256]"
    keys = {
        '"https://a.example"': f'{more}, jwks_url: "http://127.0.0.1:1/jwks"',
        '"https://b.example"': f"{more}, jwks_file: keys.json",
        '"https://c.example"': f"{more}, jwks_file: absent.json",
    }
    (tmp_path / "keys.json").write_text(json.dumps({"keys": []}))
    path = write(
        tmp_path,
        'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}',
        "trust_domains:",
        "  acme:",
        "    issuers:",
        *(f"      - {{issuer: {name}, {rest}}}" for name, rest in keys.items()),
    )
    found = list(network_checks.issuers(load(path)))
    assert [(one.health, bool(one.advice)) for one in found] == [("failure", True)] * 3
    assert "cannot be reached" in found[0].finding


MODEL = 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}'


def use_journal(folder: Path, secret: bytes) -> None:
    async def use() -> None:
        journal = await open_sqlite(folder / "oncegate.db", keyring=Keyring((secret,)))
        await ask(journal, step())
        await journal.aclose()

    asyncio.run(use())


@pytest.mark.requirement("CLI-31")
def test_a_key_that_is_not_the_states_is_named_and_nothing_is_served_with_it(tmp_path: Path) -> None:
    write_key(tmp_path)
    config = load(write(tmp_path, MODEL))
    use_journal(tmp_path, b"o" * 32)

    async def open_it(*secrets: bytes) -> None:
        store = await open_store(config, Keyring(secrets), fatal=lambda _: None, crash_point=lambda _: None)
        await store.aclose()

    (found,) = (one for one in store_checks.journal(config) if one.health != "ok")
    assert (found.health, "no key of `secret_key` opens" in found.finding) == ("failure", True)
    assert "bring back the key" in found.advice
    for _ in range(2):  # and lets go of the file when it refuses
        with pytest.raises(JournalRefused, match="`secret_key`: no key of it opens what `state` keeps"):
            asyncio.run(open_it(bytes(32)))
    asyncio.run(open_it(bytes(32), b"o" * 32))


@pytest.mark.requirement("CLI-31")
def test_a_state_that_another_program_keeps_locked_is_named(tmp_path: Path) -> None:
    write_key(tmp_path)
    config = load(write(tmp_path, MODEL))
    use_journal(tmp_path, bytes(32))
    assert [one.health for one in store_checks.journal(config)] == ["ok"]
    with contextlib.closing(sqlite3.connect(tmp_path / "oncegate.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = next(one for one in store_checks.journal(config) if one.health == "failure")
    assert "locked" in found.finding
    assert "lsof" in found.advice


@pytest.mark.requirement("CLI-23")
def test_agents_and_the_collector_that_are_away_are_named_with_what_becomes_of_what_is_sent(tmp_path: Path) -> None:
    more = ('agents: {clerk: {url: "http://127.0.0.1:1/run"}}', 'telemetry: {otlp: "http://127.0.0.1:1"}')
    config = load(write(tmp_path, MODEL, *more))
    found = {one.subject: one for one in (*network_checks.upstreams(config), *network_checks.exporters(config))}
    assert {name: one.health for name, one in found.items()} == dict.fromkeys(
        ("model m", "agent clerk", "collector"), "failure"
    )
    assert "dead letter" in found["agent clerk"].advice
    assert "the audit waits in the store" in found["collector"].advice


@pytest.mark.requirement("CLI-23", "CON-11")
def test_what_a_running_gateway_says_that_wants_a_person_comes_with_what_to_do() -> None:
    well: dict[str, object] = {
        "policies_valid": True, "outbox_age_seconds": 1.0, "outbox_records": 3, "in_doubt": 0, "held": 0,
        "approvals": 0,
    }  # fmt: skip
    closed = {"upstream": "model/m", "breaker": "closed", "consecutive_failures": 0}
    assert attention(well, [closed]) == []
    ill = well | {"policies_valid": False, "outbox_age_seconds": 90.0, "in_doubt": 2, "held": 1, "approvals": 4}
    found = attention(ill, [closed | {"breaker": "open", "consecutive_failures": 5}])
    said = [one.finding for one in found]
    for word in ("policy files", "3 audit record(s) wait", "`model/m` is open", "2 call(s) in doubt", "1 call(s) held"):
        assert any(word in one for one in said), word
    assert [one.waits for one in found] == [False] * 3 + [True] * 3
    assert all(one.advice for one in found)


@pytest.mark.requirement("CLI-23")
def test_an_address_that_is_taken_is_named_with_what_to_do() -> None:
    with loopback() as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"address already in use: `127.0.0.1:{port}`; end what listens there"):
            listen_at(Address("127.0.0.1", port))
