"""Which recognizers a gateway looks with: its file's, else those beside the policies, else the shipped ones alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redaction.recognizers import Recognizers, load_recognizers

if TYPE_CHECKING:
    from gateway.config import Config

FILE: Final = "recognizers.yaml"


def recognizers_of(config: Config) -> Recognizers:
    """Return them. Raises `RecognizersInvalid`; trying patterns takes a second each."""
    named = config.redaction.recognizers_file
    path = named or config.policies_folder / FILE
    return load_recognizers(path) if named is not None or path.is_file() else Recognizers()
