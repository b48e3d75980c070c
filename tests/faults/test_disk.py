"""A disk that refuses to write: an error before anything is sent, a dead journal after an I/O error."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
FILE_BYTES_MAX = 600_000


def cramped(folder: Path) -> dict[str, object]:
    """Return what a process says whose files may not grow past `FILE_BYTES_MAX` bytes."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.cramped", str(folder), str(FILE_BYTES_MAX)],
        cwd=TOP, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.requirement("FAULT-06")
def test_after_a_write_the_kernel_refused_the_journal_is_dead_and_says_so_once(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    said = cramped(tmp_path)
    assert said["fatal"] == ["the journal failed (SQLITE_IOERR_WRITE) and is not written any more"]
    assert said["first"] == "the journal could not be written (SQLITE_IOERR_WRITE)"
    assert said["then"] == "the journal failed (SQLITE_IOERR_WRITE) and is not written any more"
    # the file is what it was: everything acknowledged, nothing else
    assert said["acknowledged"] == said["found"] != []


@pytest.mark.requirement("FAULT-06")
def test_a_full_disk_is_an_error_and_an_emptied_one_goes_on(tmp_path: Path) -> None:
    mount = shutil.which("mount")
    small = tmp_path / "small"
    small.mkdir()
    made = mount is not None and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if not made or made.returncode != 0:
        pytest.skip("a small file system can only be mounted as root")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.cramped", str(small), "0"],
            cwd=TOP, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["fatal"] == []
    assert said["first"] == "the journal could not be written (SQLITE_FULL)"
    assert said["settled"] == "the journal could not be written (SQLITE_FULL)"
    # what could not be settled is in doubt as soon as that can be written, and a new call is executed
    assert said["lost"] == "InDoubt"
    assert said["then"] == "Began"
    assert said["acknowledged"] == said["found"] != []
