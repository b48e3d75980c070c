"""What a detection worker is told to build; importable without loading the language libraries."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, cast

from redaction.recognizers import Recognizers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redaction.finding import Detector


@dataclass(frozen=True, slots=True)
class PresidioInWorker:
    """Builds the Presidio detector for the model in `folder` when called, inside the worker."""

    folder: Path
    wanted: Recognizers = field(default_factory=Recognizers)
    #: further languages, whose models stand beside the English one
    languages: tuple[str, ...] = ()

    def __call__(self) -> Detector:
        """Return the detector. Raises `redaction.model.ModelUnusable`."""
        # a worker is one core's work; set before NumPy is loaded, which reads it then
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        # the gateway's own process never pays for spaCy's 350 MiB and seconds of import
        presidio = import_module("redaction.presidio")
        make = cast("Callable[[Path, Recognizers, tuple[str, ...]], Detector]", presidio.PresidioDetector)
        return make(self.folder, self.wanted, self.languages)
