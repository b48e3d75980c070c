"""What is shipped: a wheel that carries everything and works where there is no checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.shipped import demo_config, policies_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

TOP = Path(__file__).parent.parent
SECONDS_MAX = 300


def _run(command: Sequence[str | Path], cwd: Path = TOP) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what git knows: nothing that only lies about on this machine can get in."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    listed = _run(["git", "ls-files", "--cached", "--others", "--exclude-standard"]).splitlines()
    for name in listed:
        if (TOP / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((TOP / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    _run([*command, "--wheel-dir", place, source])
    return next(place.glob("oncegate-*.whl"))


@pytest.mark.requirement("REPO-06")
def test_the_checkout_finds_what_is_shipped() -> None:
    assert policies_folder() == TOP / "policies"
    assert "demo-model" in demo_config()


@pytest.mark.requirement("REPO-06")
def test_the_wheel_carries_code_policies_schema_and_licence_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    policies = {f"gateway/shipped/policies/{path.name}" for path in (TOP / "policies").iterdir() if path.is_file()}
    assert policies - names == set()
    assert "redaction/ner/names.npz" in names
    assert {"gateway/shipped/oncegate.schema.json", "gateway/shipped/demo.yaml", "gateway/demo/agent.py"} <= names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gateway", "policy", "redaction", "durable"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "oncegate = gateway.cli:main" in entry_points


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX)
@pytest.mark.requirement("REPO-06")
def test_the_installed_wheel_gives_a_working_command_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    _run([sys.executable, "-m", "venv", environment])
    python, command = environment / "bin" / "python", environment / "bin" / "oncegate"
    _run([python, "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", TOP / "requirements.lock"])
    _run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel])
    assert _run([command, "--version"], cwd=tmp_path).startswith("oncegate ")
    _run([command, "init", tmp_path / "new"], cwd=tmp_path)
    assert (tmp_path / "new" / "policies").is_dir()
    tested = _run([command, "policy", "test", tmp_path / "new" / "policies", "--json"], cwd=tmp_path)
    assert json.loads(tested)
