"""SIGHUP: a running gateway reads everything again, takes what it can, names the rest, and never stops for it."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from gateway.config import load
from gateway.identity.certificate import Authorities
from gateway.identity.key_file import KeyFiles
from gateway.identity.refused import CredentialRefused
from gateway.reloading import sorted_out
from tests import keys
from tests.gateway.held import held
from tests.gateway.model_upstream import ModelUpstream
from tests.gateway.running import CONFIG, RunningGateway
from tests.identity.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


ASK: dict[str, object] = {"model": "allowed", "messages": [{"role": "user", "content": "hi"}]}
BUDGET = 'budgets: [{subject: "agent:acme/billing", per: 1d, requests: 1}]\n'
DONE = "reloaded; policies, keys and certificates were read again"


class Stand:
    """A gateway with its upstream, and what its log says from a moment on."""

    def __init__(self, folder: Path) -> None:
        self.upstream = ModelUpstream()
        self.gateway = RunningGateway(folder, f"http://127.0.0.1:{self.upstream.port}/v1", inspects=False)
        self.gateway.start()
        self.first = self.gateway.config.read_text(encoding="utf-8")

    def hang_up(self, text: str, *, until: str, times: int = 1) -> str:
        """Write the file, send the signal, and return what is logged once `until` stands in it."""
        self.gateway.config.write_text(text, encoding="utf-8")
        before = len(self.gateway.log.read_text(encoding="utf-8"))
        assert self.gateway.process is not None
        for _ in range(times):
            self.gateway.process.send_signal(signal.SIGHUP)
        pause, latest = threading.Event(), time.monotonic() + 60
        while until not in (said := self.gateway.log.read_text(encoding="utf-8")[before:]):
            assert time.monotonic() < latest, said
            pause.wait(0.02)
        return said

    def records(self) -> list[dict[str, object]]:
        done = self.gateway.oncegate("audit", "export", "--event", "reloaded")
        assert done.returncode == 0, done.stderr
        return [cast("dict[str, object]", json.loads(line)["record"]) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("reloading"))
    yield made
    made.gateway.stop()
    made.upstream.close()


def streaming(stand: Stand, meanwhile: Callable[[], None]) -> bytes:
    """Return a streamed answer that was held in its middle until `meanwhile` was done."""
    with held(stand.gateway, stand.upstream, ASK, "shipping") as one:
        meanwhile()
        return one.whole()


@pytest.mark.requirement("GW-34")
def test_a_good_file_is_taken_while_a_call_streams_and_what_waits_is_named(stand: Stand) -> None:
    said: list[str] = []
    changed = stand.first.replace("body: 64KiB", "body: 32KiB").replace("upstream_model: up", "upstream_model: other")
    added = keys.add(stand.gateway.folder / "keys.yaml", "billing")
    answer = streaming(stand, lambda: said.append(stand.hang_up(changed + BUDGET, until=DONE)))
    assert answer.endswith(b"data: [DONE]\n\n")
    assert b"lo" in answer
    assert "`budgets` changed: in force" in said[0]
    assert [line for line in ("`models`", "`limits`") if f"{line} changed: needs a restart" not in said[0]] == []
    assert said[0].count("needs a restart") == 2
    assert "upstream-secret" not in said[0]
    key = {"authorization": f"Bearer {added}"}
    assert [stand.gateway.chat(ASK, headers=key).status_code for _ in range(2)] == [200, 429]
    assert {one["model"] for one in stand.upstream.received} == {"up"}
    (record,) = stand.records()
    assert (record["by"], record["applied"], record["waiting"]) == ("SIGHUP", ["budgets"], ["models", "limits"])
    again = stand.hang_up(stand.first, until=DONE)
    assert "`budgets` changed: in force" in again
    assert "restart" not in again
    assert stand.gateway.chat(ASK).status_code == 200


@pytest.mark.requirement("GW-35")
def test_of_a_bad_file_every_problem_is_logged_and_nothing_changes(stand: Stand) -> None:
    said: list[str] = []
    wrong = stand.first.replace("body: 64KiB", "body: much").replace("state:", "stat:") + BUDGET
    last = "`stat`"
    answer = streaming(stand, lambda: said.append(stand.hang_up(wrong, until=last)))
    assert answer.endswith(b"data: [DONE]\n\n")
    assert said[0].count("not reloaded, everything stays as it was: ") >= 2
    assert [stand.gateway.chat(ASK).status_code for _ in range(2)] == [200, 200]
    stand.gateway.config.unlink()
    assert stand.hang_up(wrong.replace("version: 1", "version: 2"), until="the only version there is")
    rules = stand.gateway.folder / "policies" / "rules.csv"
    kept = rules.read_text(encoding="utf-8")
    rules.write_text("p, of no use\n", encoding="utf-8")
    said.append(stand.hang_up(stand.first + BUDGET, until="not reloaded: the policy files have to be usable first"))
    assert [stand.gateway.chat(ASK).status_code for _ in range(2)] == [200, 200]
    rules.write_text(kept, encoding="utf-8")
    stand.hang_up(stand.first, until=DONE)


@pytest.mark.requirement("GW-36")
def test_an_unchanged_file_names_nothing_and_many_signals_at_once_are_few_readings(stand: Stand) -> None:
    said = stand.hang_up(stand.first, until=DONE, times=30)
    assert "changed" not in said
    assert said.count(DONE) < 10
    assert stand.gateway.chat(ASK).status_code == 200
    newest = stand.records()[-1]
    assert (newest["applied"], newest["waiting"]) == ([], [])


@pytest.mark.requirement("GW-34")
def test_a_section_that_fits_only_with_one_that_waits_waits_too(tmp_path: Path) -> None:
    values = {"port": 18080, "admin": 18081, "upstream": "http://127.0.0.1:9/v1"}
    file = tmp_path / "oncegate.yaml"
    text = CONFIG % values
    file.write_text(text, encoding="utf-8")
    running = load(file)
    priced = text.replace("domain: acme}", "domain: acme, price: {input: 1.0, output: 2.0}}")
    file.write_text(
        priced + 'budgets: [{subject: "model/careful", per: 1d, usd: 5}]\napprovals: {wait: 5s}\n', encoding="utf-8"
    )
    config, applied, waiting = sorted_out(running, load(file))
    assert (applied, waiting) == (["approvals"], ["models", "budgets"])
    assert (config.budgets, config.models) == (running.budgets, running.models)
    assert config.approvals.wait_seconds == 5


@pytest.mark.requirement("GW-34")
def test_keys_and_authorities_are_looked_at_at_once_when_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "oncegate.yaml"
    file.write_text(CONFIG % {"port": 18080, "admin": 18081, "upstream": "http://127.0.0.1:9/v1"}, encoding="utf-8")
    keys.add(tmp_path / "keys.yaml", "billing")
    trusted = tmp_path / "acme.pem"
    trusted.write_text(Authority("acme").own.pem, encoding="utf-8")
    # clocks that stand still: nobody looks by themselves
    authorities = Authorities({"acme.example": trusted}, clock=lambda: 0.0)
    trusted.write_text(Authority("other").own.pem + "\n", encoding="utf-8")
    authorities.freshen()
    assert authorities.generation == 0
    authorities.again()
    assert authorities.generation == 1

    async def added() -> str:
        known = KeyFiles.open(load(file), clock=lambda: 0.0)
        key = keys.add(tmp_path / "keys.yaml", "shipping")
        with pytest.raises(CredentialRefused):
            await known.find(key)
        await known.again()
        return (await known.find(key)).agent

    assert asyncio.run(added()) == "shipping"
