"""`oncegate token create` and `oncegate check`, as real processes."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from gateway.config import load
from gateway.identity.api_keys import find_key, read_keys
from tests import serving
from tests.identity.authority import jwks, rsa_jwk

if TYPE_CHECKING:
    import subprocess

ROOT = Path(__file__).parents[2]
CONFIG = """version: 1
trust_domains:
  acme: {api_keys_file: keys.yaml}
  vendors: {}
models: {m: {provider: openai, url: "https://api.openai.com/v1", domain: vendors}}
"""


def oncegate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return serving.oncegate(*words, folder=folder, environment=environment)


def configured(folder: Path, text: str = CONFIG) -> Path:
    (folder / "oncegate.yaml").write_text(text, encoding="utf-8")
    return folder


def create(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return oncegate(folder, "token", "create", "--domain", "acme", *words)


@pytest.mark.requirement("IDN-14")
def test_a_created_key_is_shown_once_and_stored_hashed_in_a_private_file(tmp_path: Path) -> None:
    configured(tmp_path)
    made = create(tmp_path, "--agent", "billing", "--role", "clerk", "--role", "it's", "--expires", "90d")
    assert (made.returncode, made.stderr.count("not shown again")) == (0, 1)
    key = made.stdout.strip()
    assert key.startswith("og_")
    path = tmp_path / "keys.yaml"
    assert key not in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o600
    entry = find_key(key, read_keys(path, "keys.yaml", frozenset({"acme"})))
    assert entry is not None
    assert (entry.agent, entry.domain, entry.roles, entry.listener) == ("billing", "acme", ("clerk", "it's"), "agents")
    assert entry.expires is not None


@pytest.mark.requirement("IDN-20")
def test_keys_are_listed_replaced_with_an_overlap_and_revoked(tmp_path: Path) -> None:
    configured(tmp_path)
    domains = frozenset({"acme"})
    first = json.loads(create(tmp_path, "--agent", "billing", "--role", "clerk", "--scope", "notes", "--json").stdout)
    path = tmp_path / "keys.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "    # kept for the auditors\n", encoding="utf-8")
    create(tmp_path, "--agent", "shipping")
    made = json.loads(oncegate(tmp_path, "token", "rotate", first["id"], "--overlap", "12h", "--json").stdout)
    assert made["replaces"] == first["id"]
    keys = read_keys(path, "keys.yaml", domains)
    old, new = find_key(first["key"], keys), find_key(made["key"], keys)
    assert old is not None
    assert new is not None
    assert (old.expires, new.expires) == (made["until"], None)
    assert (new.agent, new.roles, new.scopes) == ("billing", ("clerk",), ("notes",))
    listed = json.loads(oncegate(tmp_path, "token", "list", "--json").stdout)
    assert listed[0]["id"] == first["id"]
    assert {one["agent"] for one in listed} == {"billing", "shipping"}
    assert first["key"] not in json.dumps(listed)
    assert "hash" not in listed[0]
    gone = oncegate(tmp_path, "token", "revoke", first["id"])
    assert (gone.returncode, "is gone" in gone.stderr) == (0, True)
    left = read_keys(path, "keys.yaml", domains)
    assert (find_key(first["key"], left), len(left)) == (None, 2)
    assert oncegate(tmp_path, "token", "revoke", first["id"]).returncode == 1


@pytest.mark.requirement("IDN-20")
def test_an_entry_that_cannot_be_told_from_others_is_left_to_people(tmp_path: Path) -> None:
    configured(tmp_path)
    made = json.loads(create(tmp_path, "--agent", "billing", "--json").stdout)
    path = tmp_path / "keys.yaml"
    flow = f"version: 1\nkeys: {{{made['id']}: {{hash: 'sha256:{'0' * 64}', agent: billing, domain: acme}}}}\n"
    path.write_text(flow, encoding="utf-8")
    refused = oncegate(tmp_path, "token", "revoke", made["id"])
    assert (refused.returncode, "edit by hand" in refused.stderr) == (2, True)
    assert path.read_text(encoding="utf-8") == flow


@pytest.mark.requirement("IDN-14")
def test_a_key_is_added_to_a_file_that_people_edit_and_their_text_stays(tmp_path: Path) -> None:
    configured(tmp_path)
    path = tmp_path / "keys.yaml"
    path.write_text("# ours\nversion: 1\nkeys: {}   # none yet\n# the end\n", encoding="utf-8")
    first = json.loads(create(tmp_path, "--agent", "billing", "--json").stdout)
    second = json.loads(create(tmp_path, "--agent", "ops", "--admin", "--json").stdout)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ours\nversion: 1\nkeys:  # none yet\n")
    assert text.endswith("# the end\n")
    keys = read_keys(path, "keys.yaml", frozenset({"acme"}))
    assert set(keys) == {first["id"], second["id"]}
    assert keys[second["id"]].listener == "admin"


@pytest.mark.requirement("IDN-14")
def test_keys_created_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    configured(tmp_path)
    with ThreadPoolExecutor(3) as threads:
        made = [threads.submit(create, tmp_path, "--agent", f"a{number}") for number in range(3)]
        assert [one.result().returncode for one in made] == [0, 0, 0]
    keys = read_keys(tmp_path / "keys.yaml", "keys.yaml", frozenset({"acme"}))
    assert {key.agent for key in keys.values()} == {"a0", "a1", "a2"}


WRONG = {
    "unknown domain": (["token", "create", "--agent", "a", "--domain", "acmee"], "did you mean `acme`?"),
    "domain without keys": (["token", "create", "--agent", "a", "--domain", "vendors"], "has no `api_keys_file`"),
    "unusable agent": (["token", "create", "--agent", "a,b", "--domain", "acme"], "`--agent` must be a name"),
    "unusable expiry": (
        ["token", "create", "--agent", "a", "--domain", "acme", "--expires", "1y"],
        "`--expires` must be",
    ),
}


@pytest.mark.requirement("IDN-14")
@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_key_that_cannot_be_meant_is_not_made(tmp_path: Path, words: list[str], message: str) -> None:
    configured(tmp_path)
    ended = oncegate(tmp_path, *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert not (tmp_path / "keys.yaml").exists()


def found(folder: Path) -> tuple[int, list[dict[str, object]]]:
    ended = oncegate(folder, "check", "--json")
    return ended.returncode, cast("list[dict[str, object]]", json.loads(ended.stdout))


@pytest.mark.requirement("CFG-07")
def test_check_lists_the_problems_of_the_configuration_with_their_lines(tmp_path: Path) -> None:
    configured(tmp_path, CONFIG + "limits: {body: 8MB}\nlimts: {}\n")
    status, listed = found(tmp_path)
    assert status == 2
    assert [(one["severity"], one["line"]) for one in listed] == [("error", 6), ("error", 7)]
    shown = oncegate(tmp_path, "check")
    assert shown.returncode == 2
    assert "error: oncegate.yaml:7: unknown setting `limts`; did you mean `limits`?\n" in shown.stdout
    assert shown.stdout.endswith("oncegate.yaml cannot be used: 2 errors, 0 warnings\n")


@pytest.mark.requirement("CFG-07")
def test_check_reads_keys_files_and_key_sets_and_warns_of_absent_secrets(tmp_path: Path) -> None:
    issuers = "[{issuer: i, jwks_file: jwks.json, algorithms: [RS256], audience: g}]"
    configured(tmp_path, CONFIG.replace("keys.yaml}", f"keys.yaml, issuers: {issuers}}}"))
    (tmp_path / "keys.yaml").write_text("version: 1\nkeys: {abcdefgh: {agent: a}}\n", encoding="utf-8")
    (tmp_path / "jwks.json").write_bytes(jwks(rsa_jwk("weak", 1024)))
    status, listed = found(tmp_path)
    assert status == 2
    messages = [f"{one['severity']}: {one['message']}" for one in listed]
    assert "error: `keys.abcdefgh` needs `hash`" in messages
    assert any("expected a folder of policy files" in message for message in messages)
    assert "error: issuer `i`: the key set holds no usable key" in messages
    assert "warning: `file:oncegate.key` cannot be read: no such file or directory" in messages


@pytest.mark.requirement("CFG-08")
def test_init_writes_a_configuration_that_check_accepts_and_overwrites_nothing(tmp_path: Path) -> None:
    made = oncegate(tmp_path, "init", "gateway")
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "gateway"
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()}
    assert modes["oncegate.key"] == modes["keys.yaml"] == 0o600
    config = load(folder / "oncegate.yaml")
    assert len(config.secret_keys[0].read_key()) == 32
    status, listed = found(folder)
    assert status == 0
    assert [one["message"] for one in listed] == [
        "`env:OPENAI_API_KEY` is not set in the environment",
        "model `demo-model` has no `price`: what its calls cost is said to be unknown",
    ]
    key = (folder / "oncegate.key").read_bytes()
    again = oncegate(tmp_path, "init", "gateway")
    assert (again.returncode, "nothing was written" in again.stderr) == (2, True)
    assert (folder / "oncegate.key").read_bytes() == key


@pytest.mark.requirement("CFG-08")
def test_two_gateways_never_get_the_same_key(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert oncegate(tmp_path, "init", name).returncode == 0
    assert (tmp_path / "one" / "oncegate.key").read_bytes() != (tmp_path / "two" / "oncegate.key").read_bytes()
