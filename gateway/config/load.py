"""Read `oncegate.yaml` once, verify it whole."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gateway.config.problems import ConfigInvalid
from gateway.config.reading import Reading
from gateway.config.root import ROOT, Config
from gateway.config.tree import read_tree
from gateway.config.verify import verify
from gateway.secrets import SecretReference

if TYPE_CHECKING:
    from pathlib import Path


def load(path: Path) -> Config:
    """Return the configuration in the file at `path`.

    Reads no other file and no secret. Raises `ConfigInvalid` with every problem of the file.
    """
    tree = read_tree(path, str(path))
    folder = path.absolute().parent
    reading = Reading(str(path), folder)
    config = ROOT.read(tree, reading, ())
    if isinstance(config, Config):
        config = _completed(config, path.absolute(), folder)
        verify(config, reading)
    if reading.problems or not isinstance(config, Config):
        raise ConfigInvalid(reading.problems)
    return config


def _completed(config: Config, file: Path, folder: Path) -> Config:
    """Put in the defaults that depend on where the file is, or on other settings."""
    policies = folder / config.policies_folder
    redaction = config.redaction
    if redaction.profiles_file is None:
        redaction = dataclasses.replace(redaction, profiles_file=policies / "redaction.yaml")
    return dataclasses.replace(
        config,
        file=file,
        public_url=config.public_url or f"{'http' if config.tls is None else 'https'}://{config.listen}",
        state=dataclasses.replace(config.state, path=folder / config.state.path),
        secret_keys=config.secret_keys or (SecretReference.parse("file:oncegate.key", folder=folder),),
        policies_folder=policies,
        candidate_folder=None if config.candidate_folder is None else folder / config.candidate_folder,
        policy_sets={name: folder / path for name, path in config.policy_sets.items()},
        redaction=redaction,
        telemetry=dataclasses.replace(config.telemetry, checkpoints=folder / config.telemetry.checkpoints),
    )
