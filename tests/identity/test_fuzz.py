"""Whatever comes in, the answer is a refusal or a principal; never another error, never a hang."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigInvalid, load
from gateway.config.tree import parse_tree
from gateway.identity import Authenticator, Unidentified
from tests.gateway.config_refusals import START
from tests.identity.authority import CONFIG, bearer, claims, header, open_authenticator, sign, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config import Problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
RELAXED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def authenticator(tmp_path: Path) -> Iterator[tuple[Authenticator, asyncio.Runner]]:
    with asyncio.Runner() as runner:
        found = runner.run(open_authenticator(write_config(tmp_path)))
        yield found, runner
        runner.run(found.aclose())


def answer(at: tuple[Authenticator, asyncio.Runner], *pairs: tuple[bytes, bytes]) -> str:
    found, runner = at
    try:
        return runner.run(found.identify(pairs)).principal.domain
    except Unidentified as refused:
        return f"{refused.status} {refused.reason}"


@pytest.mark.requirement("IDN-01")
@RELAXED
@given(
    values=st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key"]), st.binary(max_size=80)), max_size=3)
)
def test_random_credential_headers_are_refused(
    authenticator: tuple[Authenticator, asyncio.Runner], values: list[tuple[bytes, bytes]]
) -> None:
    assert answer(authenticator, *values) != "acme"


@pytest.mark.requirement("IDN-01")
@RELAXED
@given(text=st.text(alphabet="eyJog_r.-_=AZaz09", max_size=120), prefix=st.sampled_from(["", "og_", "ogr_"]))
def test_random_bearer_texts_are_refused(
    authenticator: tuple[Authenticator, asyncio.Runner], text: str, prefix: str
) -> None:
    assert answer(authenticator, *bearer(prefix + text)) != "acme"


@pytest.mark.requirement("IDN-01", "IDN-02")
@RELAXED
@given(
    claim=st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "roles", "groups", "user", "act", "cnf"]),
    member=st.sampled_from(["alg", "typ", "kid", "crit", "cty", "jwk"]),
    value=JSON,
    in_header=st.booleans(),
)
def test_a_signed_token_with_any_value_anywhere_gives_the_issuers_domain_or_a_refusal(
    authenticator: tuple[Authenticator, asyncio.Runner],
    claim: str,
    member: str,
    value: object,
    in_header: bool,  # noqa: FBT001 - drawn
) -> None:
    said = claims() if in_header else claims() | {claim: value}
    head = header() | {member: value} if in_header else header()
    # json writes NaN and lone surrogates, which are not JSON: they have to be refused, not crash
    found = answer(authenticator, *bearer(sign(json.dumps(said).encode(), json.dumps(head).encode())))
    assert found == "acme" or found.startswith(("401 ", "431 "))


def problems(path: Path) -> tuple[Problem, ...] | None:
    try:
        load(path)
    except ConfigInvalid as invalid:
        return invalid.problems
    return None


YAML_TEXT = st.lists(
    st.sampled_from([
        "version: 1", "models:", "  m:", "{", "}", "[", "]", "\n", " ", "\t", "&a", "*a", "!!x", "<<:", "---", "...",
        "%YAML 1.1", "'", '"', "|", ">", "- ", ": ", "#", "limits: {body: 1MiB}", "\x01", "null", "~", "é", ",", "?",
    ]),
    max_size=25,
)  # fmt: skip


@pytest.mark.requirement("CFG-03")
@RELAXED
@given(pieces=YAML_TEXT)
def test_any_text_is_a_configuration_or_a_list_of_problems(tmp_path: Path, pieces: list[str]) -> None:
    path = tmp_path / "oncegate.yaml"
    path.write_text("".join(pieces), encoding="utf-8")
    assert problems(path) is None or all("\n" not in problem.message for problem in problems(path) or ())


@pytest.mark.requirement("CFG-03")
@RELAXED
@given(tree=st.dictionaries(st.sampled_from(["listen", "limits", "trust_domains", "models", "hosts", "state"]), JSON))
def test_any_value_for_a_setting_is_read_or_refused(tmp_path: Path, tree: dict[str, object]) -> None:
    path = tmp_path / "oncegate.yaml"
    # JSON is YAML; what Python's writer adds to JSON (NaN, Infinity) is read as text
    path.write_text(START.replace("models", "mcp_servers") if "models" in tree else START, encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{key}: {json.dumps(value)}\n" for key, value in tree.items()))
    assert problems(path) is None or problems(path)


@pytest.mark.requirement("CFG-03")
@pytest.mark.parametrize(
    "text", [CONFIG * 200, "a: [" * 5000, "- " * 5000, "{" * 5000, "? " * 3000, "'" + "x" * 100_000]
)
def test_large_and_deep_files_are_refused_without_a_crash(text: str) -> None:
    with pytest.raises(ConfigInvalid):
        parse_tree(text, "oncegate.yaml")
