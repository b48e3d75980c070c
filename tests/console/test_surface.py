"""The admin listener as programs and other sites' pages meet it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.admin.sessions import (
    IDLE_SECONDS_MAX,
    SESSION_SECONDS_MAX,
    SESSIONS_MAX,
    SESSIONS_OF_ONE_MAX,
    Sessions,
    cookie_of,
)
from gateway.console import forms
from gateway.console.render import HERE, environment

if TYPE_CHECKING:
    from tests.approvals.stand import Office

# the first test of a session starts the gateway, with its language model, on a machine that may be busy

HOSTILE = "<img src=x onerror=alert(1)>\"'"
COOKIE = re.compile(r"oncegate_session=([^;]+); Path=/; HttpOnly; SameSite=Strict; Max-Age=\d+")


def client_of(desk: Office, who: str | None = None) -> httpx.Client:
    headers = {} if who is None else {"authorization": f"Bearer {desk.keys[who]}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{desk.admin}", headers=headers, timeout=60)


@pytest.mark.requirement("CON-09")
def test_the_api_is_described_and_asking_again_costs_nothing(desk: Office) -> None:
    with client_of(desk, "watcher") as client:
        described = client.get("/api/v1/openapi.json")
        assert described.json()["openapi"].startswith("3.1")
        paths = described.json()["paths"]
        assert {"/metrics", "/api/v1/audit", "/api/v1/audit/erase", "/api/v1/policies", "/api/v1/overview"} <= set(
            paths
        )
        tag = described.headers["etag"]
        again = client.get("/api/v1/openapi.json", headers={"if-none-match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get("/api/v1/openapi.json", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.requirement("CON-09")
def test_the_audit_is_paged_to_its_end_without_a_gap(desk: Office) -> None:
    with client_of(desk, "watcher") as client:
        numbers: list[int] = []
        place: int | None = None
        while True:
            more = {} if place is None else {"before": place}
            page = client.get("/api/v1/audit", params={"limit": 7, **more}).json()
            numbers += [record["number"] for record in page["records"]]
            place = page["following"]
            if place is None:
                break
        assert numbers == list(range(numbers[0], 0, -1))
        assert client.get("/api/v1/audit", params={"limit": 0}).status_code == 422
        assert client.get("/api/v1/calls", params={"before": "call_0", "limit": 5}).json() == []


@pytest.mark.requirement("CON-03", "CON-02")
def test_a_cookie_alone_changes_nothing(desk: Office) -> None:
    own = f"http://127.0.0.1:{desk.admin}"
    with client_of(desk) as client:
        assert client.post("/login", json={"token": desk.keys["boss"]}).status_code == 403  # no origin
        foreign = client.post("/login", json={"token": desk.keys["boss"]}, headers={"origin": "http://evil.test"})
        assert foreign.status_code == 403
        done = client.post("/login", json={"token": desk.keys["boss"]}, headers={"origin": own})
        assert done.status_code == 200
        assert COOKIE.match(done.headers["set-cookie"])
        page = client.get("/policies")
        csrf = re.search(r'name="oncegate-csrf" content="([^"]+)"', page.text)
        assert csrf is not None
        target, said = "/api/v1/redaction/try", {"content": "x", "profile": "standard"}
        proof = {"x-oncegate-csrf": csrf.group(1)}
        assert client.post(target, json=said, headers={"origin": own}).json()["code"] == "csrf"
        assert client.post(target, json=said, headers=proof).json()["code"] == "foreign_origin"
        evil = {"origin": "http://evil.test", **proof}
        assert client.post(target, json=said, headers=evil).json()["code"] == "foreign_origin"
        wrong = {"origin": own, "x-oncegate-csrf": "x" * 43}
        assert client.post(target, json=said, headers=wrong).json()["code"] == "csrf"
        assert client.post(target, json=said, headers={"origin": own, **proof}).status_code == 200
        assert client.post("/login", json={"token": 7}, headers={"origin": own}).status_code == 422


@pytest.mark.requirement("CON-02")
def test_sessions_end_by_age_by_idleness_and_by_number() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])

    def headers(name: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"cookie", f"other=1; oncegate_session={name}".encode()),)

    name = sessions.begin("agent:acme/ann", "credential")
    assert sessions.of(headers(name)) is not None
    assert sessions.of(headers("guess")) is None
    now[0] = IDLE_SECONDS_MAX + 1
    assert sessions.of(headers(name)) is None
    name = sessions.begin("agent:acme/ann", "credential")
    for _ in range(int(SESSION_SECONDS_MAX // IDLE_SECONDS_MAX)):
        now[0] += IDLE_SECONDS_MAX
        assert sessions.of(headers(name)) is not None
    now[0] += 1
    assert sessions.of(headers(name)) is None
    first = sessions.begin("agent:acme/ann", "credential")
    for number in range(SESSIONS_MAX):
        sessions.begin(f"agent:acme/{number}", "credential")
    assert sessions.of(headers(first)) is None


@pytest.mark.requirement("CON-02")
def test_who_logs_in_often_ends_their_own_oldest_sessions_and_nobody_elses() -> None:
    sessions = Sessions()
    other = sessions.begin("agent:acme/bob", "credential")
    mine = [sessions.begin("agent:acme/ann", "credential") for _ in range(SESSIONS_OF_ONE_MAX + 1)]
    found = [sessions.of(((b"cookie", f"oncegate_session={value}".encode()),)) for value in (other, *mine)]
    assert [one is not None for one in found] == [True, False, *[True] * SESSIONS_OF_ONE_MAX]


@pytest.mark.requirement("CON-02")
def test_a_page_left_open_does_not_keep_its_session() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    headers = ((b"cookie", f"oncegate_session={sessions.begin('agent:acme/ann', 'credential')}".encode()),)
    now[0] = IDLE_SECONDS_MAX - 1
    assert sessions.of(headers, by_itself=True) is not None
    now[0] = IDLE_SECONDS_MAX + 1
    assert sessions.of(headers) is None


@pytest.mark.requirement("CON-02", "CON-22")
def test_over_https_no_other_host_of_the_site_can_set_the_cookie() -> None:
    sessions = Sessions(secure=True)
    value = sessions.begin("agent:acme/ann", "credential")
    assert cookie_of(value, secure=True).startswith(
        f"__Host-oncegate_session={value}; Path=/; HttpOnly; SameSite=Strict"
    )
    assert cookie_of(value, secure=True).endswith("; Secure")
    assert sessions.of(((b"cookie", f"oncegate_session={value}".encode()),)) is None
    assert sessions.of(((b"cookie", f"__Host-oncegate_session={value}".encode()),)) is not None


@pytest.mark.requirement("CON-06")
def test_every_answer_forbids_what_is_not_shipped(desk: Office) -> None:
    with client_of(desk, "watcher") as client:
        for path in ("/", "/login", "/calls", "/no-such-page", "/static/console.js", "/api/v1/overview"):
            answer = client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/static/../console/site.py").status_code == 404
    for template in sorted((HERE / "templates").iterdir()):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)|\son\w+=|\sstyle=|\|\s*safe\b|//[a-z]", text), (
            template.name
        )
        assert not re.search(r"\s[\w-]+=\{\{", text), template.name  # an attribute without quotes


@pytest.mark.requirement("CON-04")
def test_templates_escape_what_they_are_given() -> None:
    templates = environment()
    made = templates.from_string('<a title="{{ one }}">{{ one }}</a>').render(one=HOSTILE)
    assert "<img" not in made
    assert made.count("&#34;") == 2
    said = templates.get_template("login.html").render(domains=[HOSTILE], problem=HOSTILE)
    assert "<img" not in said
    assert "<form" in said


@pytest.mark.requirement("CON-24")
def test_durations_and_counts_are_written_in_the_unit_people_say_them_in() -> None:
    assert [forms.span(value) for value in (None, 4.26, 999.0, 31613.8, 95_000.0)] == [
        "-", "4.3 ms", "999.0 ms", "31.6 s", "1 min 35 s",
    ]  # fmt: skip
    assert forms.counts({"CARD": 2, "EMAIL": 1}) == "CARD 2, EMAIL 1"
    assert forms.counts("") == ""


@pytest.mark.requirement("CON-10")
def test_a_person_is_forgotten_at_an_operators_word(desk: Office) -> None:
    said = {"domain": "acme", "user": "ann@example.com", "reason": "she asked for it"}
    with client_of(desk, "boss") as client:
        answer = client.post("/api/v1/audit/erase", json=said)
        assert (answer.status_code, answer.json()["known"]) == (200, False)
        page = client.get("/api/v1/audit", params={"limit": 5, "event": "operator"}).json()
        assert page["records"][0]["deed"] == "erase_person"
        assert "ann@example.com" not in str(page)
        assert client.post("/api/v1/audit/verify").json()["ok"] is True


@pytest.mark.requirement("CON-20", "CON-09")
def test_what_is_listed_by_name_is_paged_by_name(desk: Office) -> None:
    with client_of(desk, "boss") as client:
        for number in range(3):
            said = {"subject": f"agent:acme/paged-{number}", "reason": "x", "unknown": True}
            assert client.post("/api/v1/blocks", json=said).status_code == 200
        for path, key in (("policies", "id"), ("blocks", "subject"), ("agents", "name")):
            whole = [one[key] for one in client.get(f"/api/v1/{path}", params={"limit": 1000}).json()]
            found: list[str] = []
            while page := client.get(
                f"/api/v1/{path}", params={"limit": 2} | ({"after": found[-1]} if found else {})
            ).json():
                found += [one[key] for one in page]
            assert found == whole, path
            assert client.get(f"/api/v1/{path}", params={"after": "nobody at all"}).status_code == 422
        for number in range(3):
            said = {"subject": f"agent:acme/paged-{number}", "reason": "x"}
            assert client.post("/api/v1/blocks/lift", json=said).status_code == 200
        for path in ("/agents?agent=x", "/agents?budget=x,y,z", "/agents?block=x", "/policies?after=x"):
            assert client.get(path, headers={"accept": "text/html"}).status_code == 422, path
        assert client.get("/api/v1/tools", params={"limit": 1, "after": "pay/tool/zzz"}).json() == []
