"""The smallest real detector: our patterns without a language model; importable by worker processes."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from redaction.finding import DetectionError, Finding
from redaction.forms import Forms
from redaction.overlap import resolved
from redaction.view import view_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class PatternDetector:
    """Finds values with a form; counts the texts it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._forms = Forms()

    def find(self, texts: Sequence[str]) -> list[tuple[Finding, ...]]:
        self.asked += texts
        return [self._found(text) for text in texts]

    def _found(self, text: str) -> tuple[Finding, ...]:
        view = view_of(text)
        found = self._forms.find(view.text)
        return resolved(Finding(*view.span(one.start, one.end), one.entity, one.score, one.recognizer) for one in found)


class Troubled(PatternDetector):
    """Does what a text tells it to: die, raise, hang."""

    def find(self, texts: Sequence[str]) -> list[tuple[Finding, ...]]:
        if "die" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        if "raise" in texts:
            raise DetectionError("a recognizer failed")
        if "say mail ada@example.com" in texts:
            raise ValueError("cannot read `mail ada@example.com`")
        if "leave out" in texts:
            return []
        if "hang" in texts:
            threading.Event().wait(60)
        return super().find(texts)


class Gated(PatternDetector):
    """Waits before each batch until it is let through; notes the batches. For tests in one process."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.begun = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def find(self, texts: Sequence[str]) -> list[tuple[Finding, ...]]:
        self.batches.append(list(texts))
        self.begun.release()
        if not self.open.acquire(timeout=60):
            raise DetectionError("never let through")
        return super().find(texts)
