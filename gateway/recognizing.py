"""Which recognizers a gateway looks with, and which profiles say what becomes of a find.

Recognizers are those of the named file, else those beside the policies, else the shipped ones alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redaction.profile import ProfilesInvalid, load_profiles
from redaction.recognizers import Recognizers, load_recognizers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Config
    from redaction.profile import Profile

FILE: Final = "recognizers.yaml"


def recognizers_of(config: Config) -> Recognizers:
    """Return them. Raises `RecognizersInvalid`; trying patterns takes a second each."""
    named = config.redaction.recognizers_file
    path = named or config.policies_folder / FILE
    return load_recognizers(path) if named is not None or path.is_file() else Recognizers()


def profiles_of(config: Config) -> Mapping[str, Profile]:
    """Return the profiles by name, the default one among them. Raises `ProfilesInvalid`."""
    profiles = load_profiles(config.redaction.profiles_file or config.policies_folder / "redaction.yaml")
    if config.redaction.default_profile not in profiles:
        known = ", ".join(sorted(profiles))
        raise ProfilesInvalid(f"{config.file}: `default_profile` names no profile; expected one of {known}")
    return profiles
