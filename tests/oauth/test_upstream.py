"""Servers that want tokens, behind the gateway: a real authority gives them, a real server checks them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.oauth.subjects import Vouching
from policy.decision import Principal
from tests.mcp.wire import called
from tests.oauth.ledger import Ledger
from tests.oauth.stand import Stand, stand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.oauth.authority import Authority

SERVERS = """\
  own:
    url: "@ledger@"
    era: modern
    domain: acme
    credential:
      client_credentials: {token_url: "@token@", client_id: gate, client_secret: "file:client.secret", scopes: notes}
  signed:
    url: "@ledger@"
    domain: acme
    credential:
      client_credentials: {token_url: "@token@", client_id: signer, private_key: "file:client.pem", key_id: k1}
  callers:
    url: "@ledger@"
    era: modern
    domain: acme
    credential:
      token_exchange: {token_url: "@token@", client_id: gate, client_secret: "file:client.secret", send_secret: body}
  vouched:
    url: "@ledger@"
    era: modern
    domain: acme
    credential:
      token_exchange:
        token_url: "@token@"
        client_id: signer
        private_key: "file:client.pem"
        assertion_audience: "@issuer@"
        without_token: sign
"""
SECRET = "a secret: with %, + and =?"


@pytest.fixture(scope="module")
def guarded(authority: Authority) -> Iterator[Ledger]:
    running = Ledger(authority)
    yield running
    running.close()


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, guarded: Ledger
) -> Iterator[Stand]:  # fmt: skip
    folder = tmp_path_factory.mktemp("upstream")
    key = generate_private_key(SECP256R1())
    write_key(folder, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "client.secret").write_text(SECRET, encoding="utf-8")
    authority.clients |= {"gate": SECRET, "signer": key.public_key()}
    with stand(folder, SERVERS, authority=authority, ledger=guarded) as found:
        yield found


def write_key(folder: Path, content: bytes) -> None:
    (folder / "client.pem").write_bytes(content)
    (folder / "client.pem").chmod(0o600)


@pytest.fixture
def running(started: Stand) -> Stand:
    started.authority.asked.clear()
    started.authority.answers.clear()
    started.ledger.notes.clear()
    started.ledger.headers.clear()
    started.ledger.refused, started.ledger.closed, started.ledger.challenges = 0, False, True
    started.ledger.revoked |= set(started.authority.given)
    started.call("own")  # whatever a test before has left
    started.authority.asked.clear()
    started.ledger.notes.clear()
    started.ledger.refused = 0
    return started


@pytest.mark.requirement("OAU-08", "OAU-06")
def test_a_server_gets_the_gateways_own_token_and_it_is_kept(running: Stand) -> None:
    caller = running.token()
    for _ in range(3):
        assert running.call("own", token=caller).text == "noted"
    assert running.authority.asked == []
    assert running.ledger.notes == [{"sub": "gate", "act": None, "scope": "notes", "tool": "note"}] * 3
    assert all(caller not in str(headers) for headers in running.ledger.headers)


@pytest.mark.requirement("OAU-08", "OAU-11")
def test_a_revoked_token_is_replaced_and_the_call_executed_once(running: Stand) -> None:
    running.ledger.revoked.add(running.authority.given[-1])
    assert running.call("own", key="revoked-1").text == "noted"
    assert (running.ledger.refused, len(running.authority.asked), len(running.ledger.notes)) == (1, 1, 1)
    form = running.authority.asked[0]
    assert (form["grant_type"], form["resource"], form["scope"]) == ("client_credentials", running.ledger.url, "notes")
    assert form["authorization"].startswith("Basic ")
    assert "client_secret" not in form


@pytest.mark.requirement("OAU-11")
def test_a_server_that_refuses_every_token_is_asked_twice_and_no_more(running: Stand) -> None:
    running.ledger.closed = True
    refused = running.call("own", key="closed-1")
    assert "refused the gateway's own credential" in refused.text
    assert (running.ledger.refused, running.ledger.notes) == (2, [])
    running.ledger.closed = False
    assert running.call("own", key="closed-1").text == "noted"


@pytest.mark.requirement("OAU-11")
def test_a_401_that_nobody_challenges_is_not_sent_again(running: Stand) -> None:
    running.ledger.closed, running.ledger.challenges = True, False
    assert "refused the gateway's own credential" in running.call("own", key="mute-1").text
    assert (running.ledger.refused, running.authority.asked) == (1, [])
    running.ledger.closed = False
    assert running.call("own", key="mute-1").text == "noted"
    assert len(running.authority.asked) == 1


@pytest.mark.requirement("OAU-09")
def test_without_a_token_nothing_is_sent_and_the_step_stays_open(running: Stand) -> None:
    running.authority.answers += [(503, {"error": "temporarily_unavailable"})]
    running.ledger.revoked.update(running.authority.given)
    running.ledger.challenges = False  # lets go of the kept one
    running.call("own")
    running.ledger.headers.clear()
    refused = running.call("own", key="none-1")
    assert "could not get a token" in refused.text
    assert refused.last["result"]["_meta"]["dev.oncegate/call"]["final"] is False
    again = running.call("own", key="none-1")
    assert "could not get a token" in again.text
    assert (len(running.authority.asked), running.ledger.headers) == (1, [])


@pytest.mark.requirement("OAU-12", "OAU-06")
def test_a_callers_token_is_exchanged_for_one_that_names_the_caller(running: Stand) -> None:
    caller = running.token(scope="everything")
    for _ in range(2):
        assert running.call("callers", token=caller).text == "noted"
    assert [note["sub"] for note in running.ledger.notes] == ["billing", "billing"]
    assert running.ledger.notes[0]["act"] == {"sub": "gate"}
    (form,) = running.authority.asked
    assert (form["subject_token"], form["resource"]) == (caller, running.ledger.url)
    assert form["client_id"] == "gate"
    other = running.authority.sign("shipping", "https://gateway.example")
    assert running.call("callers", token=other).text == "noted"
    assert running.ledger.notes[-1]["sub"] == "shipping"
    assert all(caller not in str(headers) and other not in str(headers) for headers in running.ledger.headers)


@pytest.mark.requirement("OAU-12")
def test_a_caller_without_a_signed_token_is_told_so(running: Stand) -> None:
    refused = running.call("callers", token=running.gateway.keys["billing"])
    assert "call with a signed token of your issuer" in refused.text
    opened = running.gateway.open_run({}).json()["token"]
    assert "not with an API key or a run token" in running.call("callers", token=opened).text
    assert (running.authority.asked, running.ledger.notes) == ([], [])


@pytest.mark.requirement("OAU-15")
def test_a_caller_without_a_token_is_vouched_for_by_the_gateway_where_the_file_says_so(running: Stand) -> None:
    running.authority.trusted[running.gateway.url] = f"{running.gateway.url}/.well-known/jwks.json"
    for _ in range(2):
        assert running.call("vouched", token=running.gateway.keys["billing"]).text == "noted"
    (form,) = running.authority.asked
    assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
    said = running.authority.subjects[-1]
    assert (said["sub"], said["iss"], said["aud"]) == (
        "agent:acme/billing", running.gateway.url, running.authority.url,
    )  # fmt: skip
    assert int(str(said["exp"])) - int(str(said["iat"])) <= 60
    assert running.ledger.notes[-1]["sub"] == "agent:acme/billing"
    assert running.call("vouched", token=running.gateway.keys["shipping"]).text == "noted"
    assert running.ledger.notes[-1]["sub"] == "agent:acme/shipping"
    opened = running.gateway.open_run({}).json()["token"]
    assert running.call("vouched", token=opened).text == "noted"
    assert running.ledger.notes[-1]["sub"] == "agent:acme/billing"
    own = running.token()
    assert running.call("vouched", token=own).text == "noted"
    assert running.authority.asked[-1]["subject_token"] == own
    # what the gateway signs opens nothing at the gateway itself
    assert running.call("own", token=form["subject_token"]).status == 401


@pytest.mark.requirement("OAU-15")
def test_the_gateways_keys_follow_from_its_secret_keys_and_a_new_one_is_published_before_it_signs() -> None:
    old, new = b"o" * 32, b"n" * 32
    principal = Principal(
        agent="billing",
        domain="acme",
        user="ada",
        method="run_token",
        scopes=frozenset({"b", "a"}),
        actors=("planner", "desk"),
    )
    before, between, after = (Vouching("https://gateway.example", keys) for keys in ([old], [old, new], [new, old]))
    published = {str(key["kid"]): key for key in cast("list[dict[str, object]]", between.key_set()["keys"])}
    assert len(published) == 2
    assert all(key.keys() == {"crv", "kty", "x", "y", "kid", "use", "alg"} for key in published.values())
    kids: list[str] = []
    acts = {"sub": "agent:acme/billing", "act": {"sub": "agent:acme/planner", "act": {"sub": "agent:acme/desk"}}}
    for one in (before, between, after):
        token = one.sign(principal, "https://idp.example")
        kids.append(jwt.get_unverified_header(token)["kid"])
        said = jwt.decode(token, jwt.PyJWK(published[kids[-1]]), ["ES256"], audience="https://idp.example")
        assert (said["sub"], said["act"]) == ("user:acme/ada", acts)
        assert said["scope"] == "a b"
    assert kids[0] == kids[1] != kids[2]


@pytest.mark.requirement("OAU-13", "OAU-14")
def test_a_client_proves_itself_by_its_signature_and_a_rotated_key_counts_at_once(running: Stand) -> None:
    assert running.call("signed").text == "noted"
    assert running.ledger.notes[-1]["sub"] == "signer"
    assert running.authority.asked[-1]["authorization"] == ""
    key = generate_private_key(SECP256R1())
    write_key(running.gateway.folder, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    running.authority.clients["signer"] = key.public_key()
    running.ledger.revoked.add(running.authority.given[-1])
    assert running.call("signed").text == "noted"
    write_key(running.gateway.folder, b"no key")
    running.ledger.revoked.add(running.authority.given[-1])
    assert "refused the gateway's own credential" in running.call("signed").text
    assert "holds no private key for ES256" in running.gateway.log.read_text(encoding="utf-8")


@pytest.mark.requirement("OAU-10")
def test_many_calls_wait_for_one_token(running: Stand) -> None:
    running.ledger.revoked.add(running.authority.given[-1])
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(running.call, "own", key=f"many-{number}") for number in range(8)]
        found = [one.result(60) for one in asked]
    assert [one.text for one in found] == ["noted"] * 8
    assert (len(running.authority.asked), len(running.ledger.notes)) == (1, 8)


@pytest.mark.requirement("OAU-14")
def test_no_secret_and_no_token_is_written_anywhere(running: Stand) -> None:
    caller = running.token()
    assert running.call("callers", token=caller).text == "noted"
    assert running.send(running.endpoint("own"), called("note"), "eyJ.x.y").status == 401
    written = running.gateway.log.read_text(encoding="utf-8") + running.gateway.oncegate("audit", "export").stdout
    written += "".join(
        path.read_bytes().decode("latin-1") for path in running.gateway.folder.glob("oncegate.db*") if path.is_file()
    )
    for secret in (SECRET, caller, *running.authority.given):
        assert secret not in written
