"""What ships inside the distribution: the starter policies, the configuration's schema, the demo's configuration."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def policies_folder() -> Path:
    """Return the folder of the shipped starter policies.

    A wheel carries them beside this file; a checkout (also installed editable) has them at its top.
    Raises `FileNotFoundError` when the installation is incomplete.
    """
    for folder in (_HERE / "policies", _HERE.parent.parent / "policies"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("the shipped policies are missing: install oncegate again")


def demo_config() -> str:
    """Return the demo's configuration, its ports the ones of `make run` (8080 to 8083)."""
    return (_HERE / "demo.yaml").read_text(encoding="utf-8")
