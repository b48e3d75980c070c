"""The admin listener attacked: by other sites' pages, by strangers, by people who may do less than they try."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.approvals.stand import Office


GUARDS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HUGE = 10**30
LISTS = (
    "runs",
    "calls",
    "approvals",
    "tools",
    "budgets",
    "blocks",
    "upstreams",
    "audit",
    "policies",
    "agents",
    "messages",
)


def client_of(desk: Office, who: str | None = None) -> httpx.Client:
    headers = {} if who is None else {"authorization": f"Bearer {desk.keys[who]}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{desk.admin}", headers=headers, timeout=60)


def raw(desk: Office, request: bytes) -> bytes:
    """Say bytes as no client would, and return the answer's head."""
    with socket.create_connection(("127.0.0.1", desk.admin), 5) as connection:
        connection.sendall(request)
        connection.settimeout(5)
        found = b""
        while b"\r\n\r\n" not in found and (part := connection.recv(65536)):
            found += part
    return found


@pytest.mark.requirement("CON-22")
def test_a_name_that_was_made_to_point_here_is_not_answered(desk: Office) -> None:
    key = desk.keys["boss"]
    for host in ("evil.test", f"evil.test:{desk.admin}", "127.0.0.1", f"127.0.0.1:{desk.admin}.evil.test", "[::1]", ""):
        with client_of(desk) as client:
            for path in ("/login", "/healthz", "/api/v1/runs", "/static/console.js"):
                headers = {"host": host, "authorization": f"Bearer {key}"}
                assert client.get(path, headers=headers).status_code in {400, 421}, (host, path)
    twice = f"GET /login HTTP/1.1\r\nHost: 127.0.0.1:{desk.admin}\r\nHost: evil.test\r\n\r\n"
    assert raw(desk, twice.encode()).split()[1] in {b"400", b"421"}
    absolute = f"GET http://evil.test/login HTTP/1.1\r\nHost: evil.test:{desk.admin}\r\n\r\n"
    assert raw(desk, absolute.encode()).split()[1] in {b"400", b"421"}
    with client_of(desk, "boss") as client:
        for origin in ("null", "http://evil.test", f"http://127.0.0.1:{desk.admin}.evil.test", "file://"):
            assert client.get("/api/v1/runs", headers={"origin": origin}).status_code == 403, origin
        forwarded = {"x-forwarded-host": "evil.test", "x-forwarded-proto": "https", "forwarded": "host=evil.test"}
        for path in ("/runs/", "/login", "//evil.test/", "/static"):
            answer = client.get(path, headers=forwarded)
            assert "evil.test" not in answer.headers.get("location", "").partition("//")[2].partition("/")[0]


@pytest.mark.requirement("CON-22")
def test_no_path_leads_past_the_login_or_out_of_the_shipped_files(desk: Office) -> None:
    paths = (
        "/static/../api/v1/runs", "/static/..%2fapi/v1/runs", "/static/%2e%2e/%2e%2e/etc/passwd", "/login/../calls",
        "/login/%2e%2e/calls", "/static/..\\templates\\frame.html", "/static//etc/passwd", "/static/%00", "//calls",
        "/static/....//site.py", "/Static/../calls", "/login/openid/..%2f..%2fcalls", "/static/../../pages.py",
        "/healthz/../calls", "/healthz/", "/login;/../calls", "/api/v1/../../calls", "/%61pi/v1/runs", "/metrics/",
    )  # fmt: skip
    for path in paths:
        head = raw(desk, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{desk.admin}\r\nConnection: close\r\n\r\n".encode())
        assert head.split()[1] in {b"400", b"401", b"404", b"422"}, (path, head[:200])
    for path in ("/api/v1/runs", "/calls", "/events", "/metrics", "/audit/export", "/logout"):
        for method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"):
            with client_of(desk) as client:
                headers = {"x-http-method-override": "GET", "origin": f"http://127.0.0.1:{desk.admin}"}
                assert client.request(method, path, headers=headers).status_code == 401, (method, path)


@pytest.mark.requirement("CON-22")
def test_every_answer_is_kept_from_caches_frames_and_other_sites(desk: Office) -> None:
    with client_of(desk, "boss") as client, client_of(desk) as stranger:
        answers = [
            client.get(path) for path in ("/", "/calls", "/nothing", "/api/v1/runs", "/metrics", "/audit/export")
        ]
        answers += [stranger.get("/login"), stranger.get("/calls"), stranger.get("/api/v1/runs"), stranger.post("/x")]
        for answer in answers:
            assert {name: answer.headers.get(name) for name in GUARDS} == GUARDS, answer.url
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert not any(name.startswith("access-control") for name in answer.headers)
            assert "server" not in answer.headers
        assert "cross-origin-resource-policy" in stranger.get("/static/console.js").headers


@pytest.mark.requirement("CON-22")
def test_numbers_and_words_beyond_every_bound_are_refused_and_break_nothing(desk: Office) -> None:
    with client_of(desk, "boss") as client:
        for name in LISTS:
            for query in (
                {"limit": HUGE},
                {"limit": -1},
                {"limit": "1e3"},
                {"before": HUGE},
                {"before": -1},
                {"since": "1e300"},
                {"since": "nan"},
                {"until": "inf"},
                {"since": "-inf"},
                {"limit": 5, "agent": "x" * 9000},
                {"agent": "\x00"},
                {"run": "\x00"},
                {"state": "\x00"},
                {"server": "\x00"},
                {"budget": "\x00"},
                {"nobody": "1"},
                {"subject": "\x00"},
                {"resource": "\ud800"},
                {"after": "\x00"},
                {"before": "\x00"},
            ):
                try:
                    answer = client.get(f"/api/v1/{name}", params=query)
                except UnicodeEncodeError:
                    answer = client.get(f"/api/v1/{name}?resource=%ED%A0%80")
                assert answer.status_code in {200, 404, 422}, (name, query, answer.text)
                page = client.get(
                    f"/{name}", params={key: str(value).encode("utf-8", "replace") for key, value in query.items()}
                )
                assert page.status_code in {200, 404, 422}, (name, query, page.text)


@pytest.mark.requirement("CON-22")
def test_bodies_beyond_every_bound_are_refused_and_break_nothing(desk: Office) -> None:
    with client_of(desk, "boss") as client:
        for path, body in (
            ("runs/run_x/fork", {"step": HUGE}), ("runs/run_x/fork", {"step": 0, "models": {"a": "\x00"}}),
            ("runs/run_x/cancel", {"reason": "a\nb"}), ("runs/run_x/cancel", {"reason": "\x1b[2J"}),
            ("blocks", {"subject": "agent:acme/\x00", "reason": "x"}),
            ("audit/erase", {"domain": "acme", "user": "\x00", "reason": "x"}),
            ("redaction/erase", {"user": "acme/\x00", "reason": "x"}),
            ("tools/accept", {"server": "\x00", "name": "\x00", "hash": "0" * 64}),
            ("redaction/try", {"content": "\x00", "profile": "\x00"}),
            ("redaction/erase", {"values": ["\x00\x00\x00"], "reason": "x"}),
            ("calls/x/resolve", {"verdict": "happened", "outcome": HUGE, "reason": "x"}),
            ("approvals/x/approve", {"reason": "\x00"}),
        ):  # fmt: skip
            answer = client.post(f"/api/v1/{path}", json=body)
            assert answer.status_code in {200, 404, 409, 422}, (path, body, answer.text)
        deep = client.post("/api/v1/redaction/try", content=b'{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
        assert deep.status_code in {400, 422}
        lone = client.post("/api/v1/redaction/try", content=b'{"content":"\\ud800"}')
        assert lone.status_code in {200, 400, 422}
        for name in ("%00", "..%2f..", "a%0d%0aset-cookie:%20x=y", "'%20OR%20'1'='1", "%25", "_"):
            for kind in ("runs", "calls", "approvals"):
                assert client.get(f"/api/v1/{kind}/{name}").status_code in {404, 422}, (kind, name)
                assert client.get(f"/{kind}/{name}").status_code in {404, 422}, (kind, name)


@pytest.mark.requirement("CON-22")
def test_what_a_form_does_not_know_is_refused_and_wildcards_are_letters(desk: Office) -> None:
    with client_of(desk, "boss") as client:
        for path, body in (
            ("runs/x/cancel", {"reason": "x", "state": "finished"}),
            ("approvals/x/approve", {"voter": "agent:acme/cfo"}),
            ("approvals/x/approve", {"reason": "x", "groups": ["acme/finance"]}),
            ("blocks", {"subject": "agent:acme/billing", "reason": "x", "blocker": "agent:acme/cfo"}),
            ("tools/accept", {"server": "pay", "name": "effect", "hash": "0" * 64, "decider": "nobody"}),
        ):  # fmt: skip
            answer = client.post(f"/api/v1/{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), (path, body)
        for name, field in (
            ("runs", "agent"),
            ("calls", "agent"),
            ("tools", "server"),
            ("audit", "agent"),
            ("audit", "resource"),
        ):
            for wild in ("%", "b%", "_illing", "*", "bill?ng", "' OR 1=1 --"):
                found = client.get(f"/api/v1/{name}", params={field: wild}).json()
                assert found in ([], {"records": [], "people": {}, "following": None}), (name, wild)


@pytest.mark.requirement("CON-22", "CON-20")
def test_a_place_that_was_tampered_with_is_refused_and_one_of_another_filter_shows_nothing_more(desk: Office) -> None:
    with client_of(desk, "boss") as client:
        for name in ("runs", "calls", "approvals", "messages"):
            for place in ("x", "call_", "call_' OR 1=1 --", "call_zz", "run_%", "\u2028", "x" * 129):
                answer = client.get(f"/api/v1/{name}", params={"before": place})
                assert answer.status_code == 422, (name, place, answer.text)
        calls = client.get("/api/v1/calls", params={"limit": 3}).json()
        there = {"before": calls[0]["id"]} if calls else {}
        assert client.get("/api/v1/calls", params=there | {"agent": "nobody"}).json() == []
        tag = client.get("/api/v1/audit", params={"limit": 1}).headers["etag"]
        for path in ("/api/v1/audit?limit=2", "/api/v1/policies", "/api/v1/overview"):
            assert client.get(path, headers={"if-none-match": tag}).status_code == 200, path


@pytest.mark.requirement("CON-22")
def test_who_has_the_tag_of_anothers_answer_learns_nothing(desk: Office) -> None:
    with client_of(desk, "boss") as boss, client_of(desk, "clerk") as clerk:
        for path in ("/api/v1/overview", "/api/v1/policies", "/api/v1/openapi.json"):
            tag = boss.get(path).headers["etag"]
            for said in (tag, f"W/{tag}", "*"):
                answer = clerk.get(path, headers={"if-none-match": said})
                assert (answer.status_code, "etag" in answer.headers) == (403, False), path


def logged_in(client: httpx.Client, desk: Office, who: str) -> dict[str, str]:
    """Log a browser in, and return what its pages say with what they ask for."""
    own = {"origin": f"http://127.0.0.1:{desk.admin}"}
    assert client.post("/login", json={"token": desk.keys[who]}, headers=own).status_code == 200
    csrf = re.search(r'name="oncegate-csrf" content="([^"]+)"', client.get("/nothing").text)
    assert csrf is not None
    return own | {"x-oncegate-csrf": csrf.group(1)}


@pytest.mark.requirement("CON-22", "CON-02")
def test_a_session_slipped_under_a_login_is_not_the_one_that_is_begun(desk: Office) -> None:
    with client_of(desk) as client:
        client.cookies.set("oncegate_session", "x" * 43, domain="127.0.0.1")
        logged_in(client, desk, "watcher")
        first = client.cookies["oncegate_session"]
        assert first != "x" * 43
        logged_in(client, desk, "boss")  # another login in the same browser ends the first
        with client_of(desk) as other:
            other.cookies.set("oncegate_session", first)
            assert other.get("/calls", headers={"accept": "*/*"}).status_code == 401


@pytest.mark.requirement("CON-22", "CON-02")
def test_who_is_blocked_is_out_at_once_with_the_page_that_followed(desk: Office) -> None:
    with client_of(desk) as client:
        proof = logged_in(client, desk, "watcher")
        assert client.get("/calls").status_code == 200
        with client.stream("GET", "/events", timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000"
            done = desk.oncegate("block", "agent:acme/watcher", "--unknown", "--reason", "left the company")
            assert done.returncode == 0, done.stderr
            assert "event: changed" not in list(lines)  # ended, long before its own five minutes
        assert client.get("/calls").status_code == 403
        assert client.post("/api/v1/audit/verify", headers=proof).status_code == 403
        assert desk.oncegate("unblock", "agent:acme/watcher", "--reason", "came back").returncode == 0
        assert client.get("/calls").status_code == 200


@pytest.mark.requirement("CON-22", "CON-02")
def test_who_loses_a_role_loses_it_in_the_session_that_is_open(desk: Office) -> None:
    before = (desk.folder / "policies" / "office.csv").read_text(encoding="utf-8")
    with client_of(desk) as client:
        proof = logged_in(client, desk, "watcher")
        assert client.get("/audit").status_code == 200
        desk.write_policy(before.replace("g, agent:watcher, role:viewer, acme\n", ""))
        assert client.get("/audit").status_code == 403
        assert client.get("/api/v1/audit").status_code == 403
        assert client.post("/api/v1/audit/verify", headers=proof).status_code == 403
        desk.write_policy(before)
        assert client.get("/audit").status_code == 200


@pytest.mark.requirement("CON-22")
def test_a_body_before_the_login_is_small(desk: Office) -> None:
    own = {"origin": f"http://127.0.0.1:{desk.admin}"}
    with client_of(desk) as client:
        answer = client.post("/login", content=json.dumps({"token": "x" * 200_000}), headers=own)
        assert answer.status_code == 413
