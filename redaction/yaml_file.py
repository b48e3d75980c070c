"""A file of YAML, read whole.

YamlUnusable   it cannot be read or is no YAML; the message names file and line
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

if TYPE_CHECKING:
    from pathlib import Path


class YamlUnusable(Exception):  # noqa: N818 - says what is wrong with the file
    """The file cannot be used."""


def read_yaml(path: Path, holding: str) -> object:
    """Return what stands in `path`, which should be a file of what `holding` names. Raises `YamlUnusable`."""
    try:
        return cast("object", YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8")))  # pyright: ignore[reportUnknownMemberType] - untyped
    except (OSError, UnicodeDecodeError):
        raise YamlUnusable(f"{path}:0: expected a readable file of {holding}") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else cast("int", mark.line) + 1
        raise YamlUnusable(f"{path}:{line}: not usable YAML") from None
