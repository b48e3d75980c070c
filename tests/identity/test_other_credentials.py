"""API keys, run tokens, the run headers, and callers without a credential."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from durable.step import RunRef
from gateway.config import ConfigInvalid
from gateway.identity import Authenticator, Unidentified
from gateway.identity.api_keys import new_key
from gateway.identity.run_token import mint, read, signing_key
from policy.decision import Principal
from tests.identity.authority import SECRET, bearer, no_run, sign, write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.config import Config

pytestmark = pytest.mark.anyio

CONFIG = """
version: 1
development: {development}
listen: 127.0.0.1:8080
trust_domains:
  acme: {{api_keys_file: keys.yaml}}
  other: {{}}
models:
  m: {{provider: openai, url: "https://api.openai.com/v1"}}
"""


def keys_text(hashed: str, *, name: str = "abcdefgh2345", **changes: str) -> str:
    members = {"hash": hashed, "agent": "billing", "domain": "acme", "roles": "[clerk]"} | changes
    lines = "".join(f"    {key}: {value}\n" for key, value in members.items())
    return f"version: 1\nkeys:\n  {name}:\n{lines}"


def stamp(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Rows:
    """The runs a gateway knows."""

    rows: dict[tuple[str, int], Principal] = field(default_factory=dict[tuple[str, int], Principal])

    async def principal(self, run_id: str, attempt: int) -> tuple[Principal, Principal] | None:
        found = self.rows.get((run_id, attempt))
        return None if found is None else (found, found)


RUNNER = Principal(agent="billing", domain="acme", method="run_token", user="ada")


def configured(folder: Path, keys: str, *, development: bool = False) -> Config:
    (folder / "keys.yaml").write_text(keys, encoding="utf-8")
    return write_config(folder, CONFIG.format(development=str(development).lower()))


async def opened(config: Config, rows: Rows | None = None) -> Authenticator:
    found = no_run if rows is None else rows.principal
    return await Authenticator.open(config, secrets=[SECRET, b"o" * 32], run_principal=found)


async def reason_of(authenticator: Authenticator, text: str) -> str:
    with pytest.raises(Unidentified) as caught:
        await authenticator.identify(bearer(text))
    assert caught.value.status == 401
    return caught.value.reason


@pytest.mark.requirement("IDN-10")
async def test_an_api_key_gives_the_principal_its_file_names(tmp_path: Path) -> None:
    name, key, hashed = new_key()
    authenticator = await opened(configured(tmp_path, keys_text(hashed, name=name)))
    found = (await authenticator.identify(bearer(key))).principal
    assert (found.name, found.roles, found.method) == ("agent:acme/billing", {"clerk"}, "api_key")
    assert found.credential == f"key:{name}"
    assert (await authenticator.identify(((b"x-api-key", key.encode()),))).principal == found
    await authenticator.aclose()


@pytest.mark.requirement("IDN-10")
async def test_wrong_expired_and_foreign_keys_are_refused(tmp_path: Path) -> None:
    name, key, hashed = new_key()
    _, other, _ = new_key()
    expired = keys_text(hashed, name=name, expires=stamp(time.time() - 1))
    authenticator = await opened(configured(tmp_path, expired))
    assert await reason_of(authenticator, key) == "key_expired"
    assert await reason_of(authenticator, other) == "key_wrong"
    assert await reason_of(authenticator, f"og_{name}_{'x' * 41}") == "key_wrong"
    assert await reason_of(authenticator, "og_") == "key_wrong"
    # what is stored of a key is no key
    assert await reason_of(authenticator, f"og_{name}_{hashed.removeprefix('sha256:')}") == "key_wrong"
    await authenticator.aclose()


@pytest.mark.requirement("IDN-06")
async def test_a_key_opens_one_listener_only(tmp_path: Path) -> None:
    name, key, hashed = new_key()
    authenticator = await opened(configured(tmp_path, keys_text(hashed, name=name, listener="admin")))
    assert (await authenticator.authenticate_operator(bearer(key))).agent == "billing"
    assert await reason_of(authenticator, key) == "wrong_listener"
    await authenticator.aclose()


@pytest.mark.requirement("IDN-10")
async def test_a_changed_keys_file_counts_within_a_second_and_a_broken_one_keeps_the_keys(tmp_path: Path) -> None:
    name, key, hashed = new_key()
    authenticator = await opened(configured(tmp_path, keys_text(hashed, name=name)))
    assert (await authenticator.identify(bearer(key))).principal.agent == "billing"
    replace(tmp_path / "keys.yaml", "version: 1\nkeys: [\n")
    await until(lambda: authenticator.last_error is not None, authenticator, key)
    assert (await authenticator.identify(bearer(key))).principal.agent == "billing"
    replace(tmp_path / "keys.yaml", "version: 1\n")
    await until(lambda: authenticator.last_error is None, authenticator, key)
    assert await reason_of(authenticator, key) == "key_wrong"
    await authenticator.aclose()


def replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105 - the atomic replacement an editor makes


async def until(holds: Callable[[], bool], authenticator: Authenticator, key: str) -> None:
    async with asyncio.timeout(60):
        while not holds():
            try:
                await authenticator.identify(bearer(key))
            except Unidentified:
                continue


BROKEN = {
    "a hash of another kind": (keys_text("md5:abc"), "4: expected `sha256:` and 64 hexadecimal digits"),
    "an unknown domain": (keys_text("sha256:" + "0" * 64, domain="other"), "6: trust domain `other` does not name"),
    "an agent that is no name": (keys_text("sha256:" + "0" * 64, agent="'a,b'"), "5: this cannot name an agent"),
    "an impossible time": (keys_text("sha256:" + "0" * 64, expires="2026-02-30T00:00:00Z"), "8: there is no such time"),
    "an unknown setting": (keys_text("sha256:" + "0" * 64, agnet="x"), "8: unknown setting `agnet`; did you mean"),
}


@pytest.mark.requirement("IDN-10")
@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_keys_file_is_not_started_with(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        await opened(configured(tmp_path, text))
    assert f"keys.yaml:{message}" in str(caught.value)


@pytest.mark.requirement("IDN-11")
async def test_a_run_token_gives_the_principal_of_its_runs_row_in_the_header_and_in_the_path(tmp_path: Path) -> None:
    rows = Rows({("run_1", 2): RUNNER})
    authenticator = await opened(configured(tmp_path, "version: 1\n"), rows)
    token = authenticator.mint_run_token(run_id="run_1", attempt=2, expires=time.time() + 60)
    for found in (
        await authenticator.identify(bearer(token)),
        await authenticator.identify(((b"x-api-key", token.encode()),)),
        await authenticator.identify((), token),
    ):
        assert found.principal == RUNNER
        assert found.run == RunRef("run_1", 2)
        assert found.own_tokens == (token,)
    await authenticator.aclose()


@pytest.mark.requirement("IDN-11")
async def test_with_a_run_token_in_the_path_other_credentials_are_ignored_but_never_leave(tmp_path: Path) -> None:
    rows = Rows({("run_1", 1): RUNNER})
    authenticator = await opened(configured(tmp_path, "version: 1\n"), rows)
    token = authenticator.mint_run_token(run_id="run_1", attempt=1, expires=time.time() + 60)
    other = authenticator.mint_run_token(run_id="run_9", attempt=1, expires=time.time() + 60)
    headers = ((b"authorization", b"Bearer sk-dummy"), (b"x-api-key", b"something else"))
    assert (await authenticator.identify(headers, token)).run == RunRef("run_1", 1)
    assert (await authenticator.identify(bearer(other), token)).own_tokens == (token, other)
    with pytest.raises(Unidentified):
        await authenticator.identify(bearer(token), "sk-dummy")
    await authenticator.aclose()


@pytest.mark.requirement("IDN-11")
async def test_a_run_token_that_does_not_hold_is_refused(tmp_path: Path) -> None:
    rows = Rows({("run_1", 1): RUNNER})
    authenticator = await opened(configured(tmp_path, "version: 1\n"), rows)
    later = time.time() + 60
    good = authenticator.mint_run_token(run_id="run_1", attempt=1, expires=later)
    other_payload = authenticator.mint_run_token(run_id="run_1", attempt=9, expires=later).partition(".")[0]
    foreign = mint(signing_key(b"z" * 32), run_id="run_1", attempt=1, expires=later)
    cases = {
        good[:-1]: "run_token_wrong",
        good + "A": "run_token_wrong",
        f"{other_payload}.{good.partition('.')[2]}": "run_token_wrong",
        foreign: "run_token_wrong",
        "ogr_": "run_token_wrong",
        "ogr_" + "A" * 600 + ".AAAA": "run_token_wrong",
        authenticator.mint_run_token(run_id="run_1", attempt=1, expires=time.time() - 1): "run_token_expired",
        authenticator.mint_run_token(run_id="run_2", attempt=1, expires=later): "run_unknown",
    }
    for token, reason in cases.items():
        assert await reason_of(authenticator, token) == reason
    with pytest.raises(Unidentified) as caught:
        await authenticator.authenticate_operator(bearer(good))
    assert caught.value.reason == "wrong_listener"
    await authenticator.aclose()


@pytest.mark.requirement("IDN-17")
async def test_a_run_ends_with_the_key_that_opened_it(tmp_path: Path) -> None:
    _, key, hashed = new_key()
    name = key.split("_")[1]
    config = configured(tmp_path, keys_text(hashed, name=name, scopes="[notes]"))
    rows = Rows()
    authenticator = await opened(config, rows)
    caller = (await authenticator.identify(bearer(key))).principal
    assert caller.scopes == {"notes"}
    rows.rows["r", 1] = dataclasses.replace(caller, method="run_token")
    token = authenticator.mint_run_token(run_id="r", attempt=1, expires=time.time() + 60)
    assert (await authenticator.identify(bearer(token))).principal.agent == "billing"
    (tmp_path / "keys.yaml").write_text("version: 1\nkeys: {}\n", encoding="utf-8")
    until, reason = time.monotonic() + 60, ""
    while time.monotonic() < until and not reason:
        try:
            await authenticator.identify(bearer(token))
        except Unidentified as refused:
            reason = refused.reason
    assert reason == "revoked"
    await authenticator.aclose()


@pytest.mark.requirement("IDN-11")
def test_a_token_signed_before_a_rotation_of_the_secret_key_is_still_read() -> None:
    old, new = signing_key(b"o" * 32), signing_key(b"n" * 32)
    token = mint(old, run_id="run_1", attempt=1, expires=100.5)
    said = read([new, old], token, now=99.0)
    assert (said.run_id, said.attempt, said.expires) == ("run_1", 1, 100)


@pytest.mark.requirement("IDN-12")
async def test_the_run_headers_name_a_run_beside_ordinary_credentials(tmp_path: Path) -> None:
    authenticator = await Authenticator.open(write_config(tmp_path), secrets=[SECRET], run_principal=no_run)
    run = (b"oncegate-run", b"job-7:a.b_c")
    assert (await authenticator.identify((*bearer(sign()), run))).run == RunRef("job-7:a.b_c", 0)
    numbered = (*bearer(sign()), run, (b"oncegate-attempt", b"3"))
    assert (await authenticator.identify(numbered)).run == RunRef("job-7:a.b_c", 3)
    for pairs in (
        [(b"oncegate-run", b"a b")], [(b"oncegate-run", b"x" * 129)], [(b"oncegate-run", b"")],
        [(b"oncegate-run", b"../x")], [run, (b"oncegate-run", b"other")], [(b"oncegate-attempt", b"1")],
        [run, (b"oncegate-attempt", b"0")], [run, (b"oncegate-attempt", b"1e3")],
    ):  # fmt: skip
        with pytest.raises(Unidentified) as caught:
            await authenticator.identify((*bearer(sign()), *pairs))
        assert (caught.value.status, caught.value.reason) == (400, "run_header_unusable")
    await authenticator.aclose()


@pytest.mark.requirement("IDN-12")
async def test_a_run_header_that_contradicts_the_run_token_is_400(tmp_path: Path) -> None:
    rows = Rows({("run_1", 1): RUNNER})
    authenticator = await opened(configured(tmp_path, "version: 1\n"), rows)
    token = authenticator.mint_run_token(run_id="run_1", attempt=1, expires=time.time() + 60)
    same = (*bearer(token), (b"oncegate-run", b"run_1"), (b"oncegate-attempt", b"1"))
    assert (await authenticator.identify(same)).run == RunRef("run_1", 1)
    for pair in ((b"oncegate-run", b"run_2"),):
        with pytest.raises(Unidentified) as caught:
            await authenticator.identify((*bearer(token), pair))
        assert (caught.value.status, caught.value.reason) == (400, "run_header_differs")
    await authenticator.aclose()


@pytest.fixture
async def developing(tmp_path: Path) -> AsyncIterator[Authenticator]:
    authenticator = await opened(configured(tmp_path, "version: 1\n", development=True))
    yield authenticator
    await authenticator.aclose()


@pytest.mark.requirement("IDN-13")
async def test_without_a_credential_a_caller_is_anonymous_in_development_only(
    tmp_path: Path, developing: Authenticator
) -> None:
    found = await developing.identify(((b"oncegate-run", b"r"),))
    assert (found.principal.name, found.principal.method) == ("agent:default/anonymous", "anonymous")
    assert found.run == RunRef("r", 0)
    strict = await opened(configured(tmp_path, "version: 1\n"))
    with pytest.raises(Unidentified):
        await strict.identify(())
    await strict.aclose()


@pytest.mark.requirement("IDN-13")
async def test_a_wrong_credential_is_refused_in_development_too_and_the_admin_listener_needs_one(
    developing: Authenticator,
) -> None:
    assert await reason_of(developing, "sk-whatever") == "not_compact"
    with pytest.raises(Unidentified):
        await developing.authenticate_operator(())


@pytest.mark.requirement("IDN-10")
async def test_a_keys_file_that_is_not_there_yet_holds_no_keys_and_counts_once_it_is(tmp_path: Path) -> None:
    config = configured(tmp_path, "")
    (tmp_path / "keys.yaml").unlink()
    authenticator = await opened(config)
    name, key, hashed = new_key()
    assert await reason_of(authenticator, key) == "key_wrong"
    replace(tmp_path / "keys.yaml", keys_text(hashed, name=name))
    accepted: list[Principal] = []

    async def attempt() -> None:
        try:
            accepted.append(await authenticator.authenticate(bearer(key)))
        except Unidentified:
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        while not accepted:
            await attempt()
    assert accepted[0].agent == "billing"
    await authenticator.aclose()


@pytest.mark.requirement("IDN-10")
async def test_one_id_in_two_files_is_refused(tmp_path: Path) -> None:
    text = CONFIG.format(development="false").replace("other: {}", "other: {api_keys_file: other.yaml}")
    hashed = "sha256:" + "0" * 64
    (tmp_path / "keys.yaml").write_text(keys_text(hashed), encoding="utf-8")
    (tmp_path / "other.yaml").write_text(keys_text(hashed, domain="other"), encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="key `abcdefgh2345` stands in another file too"):
        await opened(write_config(tmp_path, text))


@pytest.mark.requirement("IDN-09")
@pytest.mark.parametrize("content", [b"", b'{"keys": []}', None])
async def test_a_key_set_file_that_cannot_be_used_is_not_started_with(tmp_path: Path, content: bytes | None) -> None:
    config = write_config(tmp_path)
    if content is None:
        (tmp_path / "acme.json").unlink()
    else:
        (tmp_path / "acme.json").write_bytes(content)
    with pytest.raises(ConfigInvalid, match="holds no usable keys for issuer"):
        await opened(config)
