"""`oncegate run`: real children that die by SIGKILL, stop on SIGTERM, and outlive the gateway."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

import pytest

from gateway.cli.output import UNREACHABLE, Failure
from gateway.cli.supervisor import Patience, Supervisor
from tests.cli.stand import AgentsListener, Stand, command, loopback, oncegate, serving, surroundings
from tests.runs.stand import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.admin.parts import OpenedRun

# writes what it was given, one JSON line a start; dies by SIGKILL until it was started argv[1] times
AGENT = """
import json, os, signal, sys
with open("starts.jsonl", "a+") as starts:
    starts.write(json.dumps({"env": dict(os.environ), "argv": open("/proc/self/cmdline").read(),
                             "parent": open(f"/proc/{os.getppid()}/cmdline").read()}) + "\\n")
    starts.seek(0)
    number = len(starts.readlines())
if number < int(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def starts(folder: Path) -> list[dict[str, dict[str, str]]]:
    return [json.loads(line) for line in (folder / "starts.jsonl").read_text().splitlines()]


def agent(wanted: int) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", AGENT, str(wanted))


@pytest.mark.requirement("CLI-15")
def test_an_agent_that_is_killed_is_started_again_in_the_same_run_as_the_next_attempt(stand: Stand) -> None:
    done = oncegate(stand.folder, "run", *agent(3))
    assert done.returncode == 0, done.stderr
    seen = starts(stand.folder)
    assert [start["env"]["ONCEGATE_RUN"] for start in seen] == ["run_1"] * 3
    assert [start["env"]["OPENAI_API_KEY"] for start in seen] == ["ogr_secret_1", "ogr_secret_2", "ogr_secret_3"]
    run = stand.ledger.runs["run_1"]
    assert (run.state, run.attempt, run.result) == ("finished", 3, b'{"exit_status":0}')
    assert "attempt 1 of run run_1 was ended by SIGKILL; again in 0.5 s" in done.stderr
    assert "ogr_secret" not in done.stderr + done.stdout


@pytest.mark.requirement("CLI-15")
def test_a_run_whose_attempts_are_used_up_has_failed_with_the_commands_last_status(stand: Stand) -> None:
    killed = oncegate(stand.folder, "run", "--attempts", "2", *agent(9))
    assert killed.returncode == 128 + signal.SIGKILL
    assert len(starts(stand.folder)) == 2
    assert (stand.ledger.runs["run_1"].state, stand.ledger.runs["run_1"].attempt) == ("failed", 2)
    exited = oncegate(stand.folder, "run", "--attempts", "1", "--", "sh", "-c", "exit 7")
    assert exited.returncode == 7
    assert stand.ledger.runs["run_2"].state == "failed"


@pytest.mark.requirement("CLI-16")
def test_the_child_finds_the_gateway_and_no_other_key_and_the_token_is_in_no_arguments(stand: Stand) -> None:
    planted = {"OPENAI_API_KEY": "sk-planted", "ANTHROPIC_API_KEY": "sk-planted", "MISTRAL_API_KEY": "sk-planted"}
    planted |= {"PLANTED_PROVIDER_KEY": "sk-planted", "OPENAI_ORG_ID": "sk-planted", "KEPT": "kept"}
    assert oncegate(stand.folder, "run", *agent(1), **planted).returncode == 0
    (start,) = starts(stand.folder)
    env = start["env"]
    assert "sk-planted" not in env.values()
    assert env["KEPT"] == "kept"
    assert env["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
    assert env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1"
    assert env["ONCEGATE_MCP_URL"] == "http://127.0.0.1:1/mcp"
    assert env["ANTHROPIC_AUTH_TOKEN"] == env["OPENAI_API_KEY"] == "ogr_secret_1"
    assert "ogr_secret_1" not in str(start["argv"]) + str(start["parent"])


@pytest.mark.requirement("CLI-17")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_run_stays_open_to_be_continued(stand: Stand, number: signal.Signals) -> None:
    script = f"trap 'echo asked; exit 3' {number.name[3:]}; echo ready; while :; do read -r line || sleep 0.05; done"
    with subprocess.Popen(
        command("run", "--", "sh", "-c", script),
        cwd=stand.folder,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stderr is not None
        assert supervisor.stdout.readline() == "ready\n"
        supervisor.send_signal(number)
        assert supervisor.stdout.readline() == "asked\n"
        assert supervisor.wait(60) == 3
        assert "`oncegate run --run run_1` continues it" in supervisor.stderr.read()
    assert (stand.ledger.runs["run_1"].state, stand.ledger.runs["run_1"].attempt) == ("running", 1)
    assert oncegate(stand.folder, "run", "--run", "run_1", *agent(1)).returncode == 0
    assert (stand.ledger.runs["run_1"].state, stand.ledger.runs["run_1"].attempt) == ("finished", 2)


@pytest.mark.requirement("CLI-18")
def test_the_supervisor_waits_for_a_gateway_that_is_away_and_spends_no_attempt_on_it(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.write_config()
    script = "echo started; read -r line; exit $line"
    with subprocess.Popen(
        command("run", "--attempts", "2", "--", "sh", "-c", script),
        cwd=tmp_path,
        env=surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        assert supervisor.stderr is not None
        # away before the start
        assert "waiting up to 10 s" in supervisor.stderr.readline()
        with stand.serving():
            assert supervisor.stdout.readline() == "started\n"
        # away when the next attempt is due
        supervisor.stdin.write("1\n")
        supervisor.stdin.flush()
        assert "exited with 1" in supervisor.stderr.readline()
        assert "waiting up to 300 s" in supervisor.stderr.readline()
        with stand.serving():
            assert supervisor.stdout.readline() == "started\n"
            supervisor.stdin.write("0\n")
            supervisor.stdin.flush()
            assert supervisor.wait(60) == 0
    assert (stand.ledger.runs["run_1"].state, stand.ledger.runs["run_1"].attempt) == ("finished", 2)


class _Away:
    """A gateway that never answers."""

    def open(self, run_id: str | None) -> OpenedRun:
        raise Failure(UNREACHABLE, f"no gateway answers for {run_id}")

    def finish(self, run_id: str, attempt: int, state: Literal["finished", "failed"], status: int) -> None:
        raise Failure(UNREACHABLE, f"no gateway answers for {run_id}, {attempt}, {state}, {status}")

    def ended(self, run_id: str) -> int | None:
        raise Failure(UNREACHABLE, f"no gateway answers for {run_id}")


@pytest.mark.requirement("CLI-18")
def test_a_gateway_that_never_answers_ends_the_wait_and_nothing_is_started() -> None:
    supervisor = Supervisor(
        gateway=_Away(),
        command=["false"],
        environment=lambda _: {},
        run_id=None,
        attempts_max=5,
        patience=Patience(backoff_seconds=0.01, start_seconds_max=0.05),
    )
    with pytest.raises(Failure) as caught:
        asyncio.run(supervisor.supervise())
    assert caught.value.code == UNREACHABLE


@pytest.mark.requirement("CLI-19")
def test_a_run_that_is_over_or_someone_elses_is_not_continued(stand: Stand) -> None:
    assert oncegate(stand.folder, "run", "--run", "mine", *agent(1)).returncode == 0
    # a job's pod may die after its work is done: the next one has nothing to do, and did it well
    done = oncegate(stand.folder, "run", "--run", "mine", *agent(1))
    assert (done.returncode, done.stderr) == (
        0,
        "oncegate: run mine has finished already; the command is not started\n",
    )
    assert oncegate(stand.folder, "run", "--run", "lost", "--attempts", "1", "--", "false").returncode == 1
    over = oncegate(stand.folder, "run", "--run", "lost", *agent(1))
    assert (over.returncode, over.stderr) == (1, "error: run `lost` is failed\n")
    stand.ledger.add_run("theirs", "somebody")
    assert oncegate(stand.folder, "run", "--run", "theirs", *agent(1)).returncode == 1
    assert len(starts(stand.folder)) == 1


@pytest.mark.requirement("CLI-19")
def test_a_command_line_that_cannot_work_opens_no_run(stand: Stand) -> None:
    assert oncegate(stand.folder, "run").returncode == 2
    assert oncegate(stand.folder, "run", "--", "no-such-program-here").returncode == 2
    assert oncegate(stand.folder, "run", "--agent", "billing", "--", "true").returncode == 2
    assert oncegate(stand.folder, "run", "--url", "http://127.0.0.1:1", "--", "true").returncode == 2
    assert stand.ledger.runs == {}


@pytest.mark.requirement("CLI-19")
@pytest.mark.parametrize("name", ["", "two words", "a,b", "a*", "x" * 300])
def test_a_name_no_credential_could_carry_opens_no_run(stand: Stand, name: str) -> None:
    assert oncegate(stand.folder, "run", "--agent", name, "--domain", "acme", "--", "true").returncode == 2
    assert stand.ledger.runs == {}


@pytest.mark.requirement("CLI-20")
def test_outside_development_a_child_that_could_read_the_gateways_keys_is_not_started(stand: Stand) -> None:
    stand.write_config(development=False)
    (stand.folder / "oncegate.key").write_text("")
    refused = oncegate(stand.folder, "run", "--agent", "billing", "--domain", "acme", "--", "true")
    assert refused.returncode == 2
    assert "oncegate.key" in refused.stderr
    assert "--url" in refused.stderr
    assert stand.ledger.runs == {}


@pytest.mark.requirement("CLI-19")
def test_an_agents_own_credential_opens_its_run_on_the_agents_listener(tmp_path: Path) -> None:
    listener = AgentsListener(token="og_agent_secret")
    listening = loopback()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with serving(listener, listening):
        words = ("run", "--url", url, "--token", "env:AGENT_CREDENTIAL", *agent(2))
        assert oncegate(tmp_path, *words, AGENT_CREDENTIAL="og_agent_secret").returncode == 0
        wrong = oncegate(tmp_path, *words, AGENT_CREDENTIAL="og_wrong")
    assert listener.asked == [
        ("/runs", {}),
        ("/runs", {"id": "run_1"}),
        ("/runs/run_1/finish", {"state": "finished", "attempt": 2, "result": {"exit_status": 0}}),
    ]
    assert all("AGENT_CREDENTIAL" not in start["env"] for start in starts(tmp_path))
    assert (wrong.returncode, "og_wrong" in wrong.stderr) == (2, False)


#: What a container's runtime does to its first process: orphans become its children.
REAPER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER; kept by exec
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
#: Leaves an orphan, tells its pid, passes two signals on to the test, ends when asked.
PARENT = """
import os, signal, subprocess, sys
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"asked\\n"))  # a print may be under way
shell = subprocess.run(["sh", "-c", "sleep 0.1 & echo $!"], stdout=subprocess.PIPE, text=True)
print(shell.stdout.strip(), flush=True)
sys.stdin.readline()
"""


@pytest.mark.requirement("RUN-19")
def test_as_first_process_it_takes_orphans_away_and_passes_signals_on(stand: Stand) -> None:
    words = [sys.executable, "-c", REAPER, *command("run", "--", sys.executable, "-c", PARENT)[1:]]
    with subprocess.Popen(
        words, cwd=stand.folder, env=surroundings(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        orphan = int(supervisor.stdout.readline())
        supervisor.send_signal(signal.SIGUSR1)
        assert supervisor.stdout.readline() == "asked\n"
        assert eventually(lambda: not os.path.exists(f"/proc/{orphan}"))  # noqa: PTH110 - of another process
        supervisor.stdin.write("\n")
        supervisor.stdin.flush()
        assert supervisor.wait(60) == 0
    assert (stand.ledger.runs["run_1"].state, stand.ledger.runs["run_1"].attempt) == ("finished", 1)


COUNTING = """
import signal, sys
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
print("ready", flush=True)
sys.stdin.readline()
print(f"interrupted {len(seen)} times", flush=True)
"""


@pytest.mark.requirement("CLI-17")
def test_ctrl_c_on_a_terminal_reaches_the_child_once(stand: Stand) -> None:
    keyboard, terminal = pty.openpty()
    words = ["setsid", "--ctty", *command("run", "--", sys.executable, "-c", COUNTING)]
    with subprocess.Popen(
        words, cwd=stand.folder, env=surroundings(), stdin=terminal, stdout=terminal, stderr=terminal
    ) as supervisor:
        os.close(terminal)
        assert _until(keyboard, b"ready")
        os.write(keyboard, b"\x03")
        os.write(keyboard, b"\n")
        assert _until(keyboard, b"interrupted 1 times")
        assert supervisor.wait(60) == 0
    os.close(keyboard)


def _until(terminal: int, wanted: bytes) -> bool:
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], 5)
        if not ready:
            return False
        seen += os.read(terminal, 4096)
    return True
