"""The story of the demo, act by act. Every sentence with a tick is a claim that was checked against the facts."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from gateway.demo.asking import ask_model, call_tool, list_tools
from gateway.demo.search import find_raw
from gateway.demo.stage import StageError, read_lines

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.demo.stage import Record, Stage
    from gateway.demo.telling import Telling

_AGENT_SECONDS_MAX: Final = 120.0
#: Looks like a provider's key; opens nothing.
_API_KEY: Final = "sk-proj-" + "Zq8vT3mK1xW9pLr5" + "T3BlbkFJ" + "Yd7nHb2cQf6sJg4u"
_PROMPT: Final = (
    "Who am I talking about: Ada Lovelace, ada@example.com, card 4111 1111 1111 1111, "
    f"whose service uses the API key {_API_KEY}"
)
PLANTED: Final = {
    "a customer's name": "Ada Lovelace",
    "another customer's name": "Grace Hopper",
    "an e-mail address": "ada@example.com",
    "a card number": "4111 1111 1111 1111",
    "another card number": "5555 5555 5555 4444",
    "an API key": _API_KEY,
}
#: What one changed byte changes in a copy of the journal.
_BEFORE, _AFTER = b'"resource":"mcp/payments/tool/charge_card"', b'"resource":"mcp/payments/tool/charge_cart"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an agent ended: its exit status, its words, and how many answers were new or given again."""

    status: int
    answer: str
    fresh: int
    replayed: int
    notes: str


def tell(stage: Stage, telling: Telling) -> int:
    """Play all acts; returns the exit code. Raises `StageError` when it cannot go on."""
    telling.title("Oncegate: every call governed, every effect once")
    telling.say(f"everything here runs on this machine, without keys or network; files in {stage.folder}")
    stage.prepare()
    stage.start_gateway()
    _pays(stage, telling)
    _agent_killed(stage, telling)
    _gateway_killed(stage, telling)
    _denied(stage, telling)
    _redacted(stage, telling)
    figures = _figures(stage)
    stage.stop_gateway()
    _audited(stage, telling)
    _nothing_raw(stage, telling)
    telling.numbers(figures)
    return telling.close()


def _pays(stage: Stage, telling: Telling) -> None:
    telling.act("An agent pays an invoice, through the gateway without knowing it")
    ended = _finish(stage.start_agent("Please settle invoice INV-8.", {}))
    telling.claim(
        f'it answered: "{_short(ended.answer)}"',
        holds=ended.answer == _paid("INV-8", "Grace Hopper", "120.0", "5555 5555 5555 4444", 1),
        found=ended,
    )
    telling.claim("the payments ledger holds 1 charge", holds=len(stage.charges()) == 1, found=len(stage.charges()))
    card = [entry["card"] for entry in stage.charges()]
    telling.claim(
        "the payments server got the real card number", holds=card == ["5555 5555 5555 4444"], found=len(card)
    )
    seen = stage.model_log.read_text(encoding="utf-8")
    hidden = "5555" not in seen and "Grace Hopper" not in seen
    telling.claim("the model never saw that name or card number", holds=hidden)


def _agent_killed(stage: Stage, telling: Telling) -> None:
    telling.act("The agent is killed right after it has charged a card")
    marker = stage.folder / "die-after-charge"
    marker.touch()
    task = "Please settle invoice INV-7 for Ada Lovelace (ada@example.com)."
    ended = _finish(stage.start_agent(task, {"DEMO_DIE_AFTER_CHARGE": str(marker)}))
    killed = not marker.exists() and "SIGKILL" in ended.notes
    telling.claim("it was killed with SIGKILL and started again from the beginning", holds=killed, found=ended.notes)
    telling.claim(
        f"{ended.replayed} of its requests were answered from the journal, {ended.fresh} was new",
        holds=ended.replayed == 4 and ended.fresh == 1, found=ended,  # noqa: PLR2004 - two model calls, two tool calls
    )  # fmt: skip
    right = ended.answer == _paid("INV-7", "Ada Lovelace", "249.5", "4111 1111 1111 1111", 2)
    telling.claim("it ended with the answer it would have given undisturbed", holds=right, found=ended.answer)
    count = _charged(stage, 249.5)
    telling.claim(f"the card was charged {_times(count)}", holds=count == 1)


def _gateway_killed(stage: Stage, telling: Telling) -> None:
    telling.act("The gateway is killed between sending a charge and hearing of it")
    stage.hold.touch()
    agent = stage.start_agent("Please settle invoice INV-10.", {})
    try:
        stage.wait(lambda: _charged(stage, 75.0) == 1, "the charge has reached the payments server")
        stage.kill_gateway()
        stage.hold.unlink()
        stage.start_gateway()
        stage.wait(lambda: _in_doubt(stage) != [], "the call is in doubt")
        doubts = _in_doubt(stage)
        resources = [call["resource"] for call in doubts]
        told = resources == ["mcp/payments/tool/charge_card"]
        telling.claim("after its restart the gateway says: 1 call in doubt, the charge", holds=told, found=resources)
        count = _charged(stage, 75.0)
        telling.claim(f"it is not repeated: the card was charged {_times(count)}", holds=count == 1)
        failed, _ = call_tool(stage.url, stage.token, "list_charges", {})
        telling.claim("other calls go on meanwhile", holds=not failed)
        settled = _settle(stage, str(doubts[0]["id"]))
        telling.claim("an operator looks at the ledger and settles it: it happened", holds=settled == 0, found=settled)
        again = _settle(stage, str(doubts[0]["id"]))
        telling.claim("settling it twice is refused", holds=again == 1, found=again)
        ended = _finish(agent)
    finally:
        stage.hold.unlink(missing_ok=True)
        _end(agent)
    right = ended.answer == _paid("INV-10", "Edsger Dijkstra", "75.0", "3782 822463 10005", 3)
    telling.claim(f'the agent asks again and ends: "{_short(ended.answer)}"', holds=right, found=ended)
    count = _charged(stage, 75.0)
    telling.claim(f"in the end the card was charged {_times(count)}", holds=count == 1)


def _denied(stage: Stage, telling: Telling) -> None:
    telling.act("Calls that policy does not allow")
    before = len(read_lines(stage.ledger))
    offered = list_tools(stage.url, stage.token)
    telling.claim(
        f"the agent is offered {', '.join(sorted(offered))}: only what it may call",
        holds="delete_customer" not in offered and "charge_card" in offered,
        found=offered,
    )
    failed, text = call_tool(stage.url, stage.token, "delete_customer", {"customer": "C-1"})
    telling.claim(
        f'deleting a customer is refused: "{_short(text)}"', holds=failed and "nobody-deletes" in text, found=text
    )
    arguments = {"customer": "Alan Turing", "card": "4012 8888 8888 1881", "amount": 4200, "currency": "EUR"}
    failed, text = call_tool(stage.url, stage.token, "charge_card", arguments)
    telling.claim(
        f'charging 4,200 is refused: "{_short(text)}"', holds=failed and "charge-limit-1000" in text, found=text
    )
    after = len(read_lines(stage.ledger))
    telling.claim("nothing reached the payments server", holds=after == before, found=after - before)


def _redacted(stage: Stage, telling: Telling) -> None:
    telling.act("A prompt with a name, an address, a card number and an API key")
    for stream in (False, True):
        already = len(read_lines(stage.model_log))
        answer = ask_model(stage.url, stage.token, _PROMPT, stream=stream)
        seen = json.dumps(read_lines(stage.model_log)[already:])
        raw = [name for name, value in PLANTED.items() if value in seen]
        form = "streamed" if stream else "plain"
        if not stream:
            telling.say(f"the model was sent: {_prompt_in(stage)}")
        telling.claim(f"{form}: the model saw placeholders only", holds=raw == [] and seen != "[]", found=raw)
        right = answer == "You are talking about " + _PROMPT.partition(": ")[2]
        telling.claim(f"{form}: the agent's answer has the originals again", holds=right, found=answer)


def _audited(stage: Stage, telling: Telling) -> None:
    telling.act("The audit")
    verified = stage.oncegate("audit", "verify", "-c", str(stage.config), "--json", may_fail=True)
    records = cast("Record", json.loads(verified.stdout or "{}")).get("records")
    telling.claim(
        f"`oncegate audit verify`: whole, {records} records", holds=verified.returncode == 0, found=verified.stderr
    )
    copy = stage.folder / "changed-copy.db"
    _change_one_byte(stage.folder / "oncegate.db", copy)
    changed = stage.oncegate("audit", "verify", "--db", str(copy), may_fail=True)
    named = changed.returncode == 1 and "record " in changed.stderr and "does not fit its hash" in changed.stderr
    word = changed.stderr.strip().removeprefix("error: ")
    telling.claim(f'with one byte changed in a copy: "{_short(word)}"', holds=named, found=changed.stderr)


def _nothing_raw(stage: Stage, telling: Telling) -> None:
    telling.act("What is on disk")
    planted = PLANTED | {"the agent's token": stage.token}
    files = [stage.gateway_log, stage.trace_log, stage.model_log]
    found = find_raw(stage.config, files, planted)
    control = find_raw(stage.config, files, {"an invoice": "INV-10"})
    telling.claim("the search sees into decrypted answers", holds=any("outcome of" in one for one in control))
    sizes = sum(path.stat().st_size for path in (stage.folder / "oncegate.db", *files) if path.exists())
    telling.claim(
        f"none of {len(planted)} planted values is in the journal (answers also decrypted), logs and traces "
        f"({sizes // 1024} KiB searched)", holds=found == [], found="; ".join(found),
    )  # fmt: skip
    traced = stage.trace_log.exists() and b"oncegate." in stage.trace_log.read_bytes()
    telling.claim("traces were exported, without content", holds=traced)


def _figures(stage: Stage) -> list[tuple[str, str]]:
    calls = _calls(stage)
    exported = stage.oncegate("audit", "export", "-c", str(stage.config)).stdout.splitlines()
    records = [cast("Record", json.loads(line)["record"]) for line in exported]
    costs = {
        str(one["call"]): cast("int", one["cost_nanodollars"])
        for one in records
        if "cost_nanodollars" in one and "call" in one
    }
    replays = {str(call["id"]): cast("int", call["replays"]) for call in calls}
    saved = sum(costs.get(name, 0) * count for name, count in replays.items()) / 1e9
    spent = sum(costs.values()) / 1e9
    done = sum(call["state"] == "done" for call in calls)
    refused = sum(one["event"] == "refusal" for one in records)
    return [
        (str(done), "calls carried out, each once"),
        (str(sum(replays.values())), "answers given again from the journal, without model or tool"),
        (str(refused), "requests refused"),
        (str(len(stage.charges())), "charges in the payments ledger, one for each invoice"),
        (f"${spent:.4f}", "spent on the model"),
        (f"${saved:.4f}", "saved on the model: what the restarts would have cost again"),
        (str(len(records)), "audit records, each chained to the one before"),
    ]


def _settle(stage: Stage, call_id: str) -> int:
    charge = next(entry for entry in stage.charges() if entry["amount"] == 75.0)  # noqa: PLR2004 - INV-10
    content = {"charge": charge["reference"], "amount": charge["amount"], "currency": charge["currency"]}
    # `resultType` is asked for by clients of MCP 2026-07-28
    texts = [{"type": "text", "text": json.dumps(content)}]
    result = {"content": texts, "structuredContent": content, "isError": False, "resultType": "complete"}
    outcome = stage.folder / "outcome.json"
    outcome.write_text(json.dumps(result), encoding="utf-8")
    command = ("calls", "resolve", call_id, "happened", "--outcome", str(outcome), "--reason", "seen in the ledger")
    return stage.oncegate(*command, "-c", str(stage.config), may_fail=True).returncode


def _calls(stage: Stage, *options: str) -> list[Record]:
    listed = stage.oncegate_json("calls", "list", "--json", "--limit", "500", "-c", str(stage.config), *options)
    return cast("list[Record]", listed)


def _in_doubt(stage: Stage) -> list[Record]:
    return _calls(stage, "--state", "in_doubt")


def _finish(agent: subprocess.Popen[str]) -> Ended:
    try:
        said, notes = agent.communicate(timeout=_AGENT_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        agent.kill()
        last = agent.communicate()[1].strip().splitlines()[-1:]
        raise StageError(f"the agent did not come to an end; its last words: {' '.join(last)}") from None
    lines = [line for line in said.splitlines() if line.startswith("{")]
    told = cast("Record", json.loads(lines[-1])) if lines else {}
    return Ended(
        status=agent.returncode, answer=str(told.get("answer", "")), notes=notes.strip(),
        fresh=cast("int", told.get("fresh", 0)), replayed=cast("int", told.get("replayed", 0)),
    )  # fmt: skip


def _end(agent: subprocess.Popen[str]) -> None:
    if agent.poll() is None:
        agent.kill()
        agent.communicate()


def _charged(stage: Stage, amount: float) -> int:
    return sum(entry["amount"] == amount for entry in stage.charges())


def _change_one_byte(journal: Path, copy: Path) -> None:
    shutil.copyfile(journal, copy)
    content = copy.read_bytes()
    if _BEFORE not in content:
        raise StageError(f"{journal.name} holds no audit record of a charge in its main file")
    copy.write_bytes(content.replace(_BEFORE, _AFTER, 1))


def _prompt_in(stage: Stage) -> str:
    messages = cast("list[Record]", read_lines(stage.model_log)[-1]["messages"])
    return _short(str(messages[-1]["content"]), 300)


def _paid(invoice: str, customer: str, amount: str, card: str, number: int) -> str:
    return f"{invoice} of {customer} is paid: {amount} EUR were charged to card {card}, reference charge-{number:04}."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _short(text: str, characters_max: int = 140) -> str:
    line = " ".join(text.split())
    return line if len(line) <= characters_max else line[: characters_max - 1] + "…"
