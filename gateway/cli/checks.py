"""What `doctor` looks at on this machine, one function a subject: files, clock, disk, commands."""

from __future__ import annotations

import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gateway.checkpoints import signing_key_path
from gateway.mcp.confinement import unconfined, unstartable
from gateway.secrets import SecretError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Config
    from gateway.secrets import SecretReference

Health = Literal["ok", "warning", "failure"]

#: Below the first the gateway soon cannot write; below the second it is time to look.
DISK_BYTES_MIN = 256 * 1024 * 1024
DISK_BYTES_LOW = 2 * 1024 * 1024 * 1024
#: A file written later than now by more than this means that the clock went back.
CLOCK_SECONDS_MAX = 60.0
_GIB = 1024**3
#: Locks and write order of these cannot be relied on (https://www.sqlite.org/howtocorrupt.html, section 2).
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: what it is, how it stands, and what to do when it is not well."""

    subject: str
    health: Health
    finding: str
    advice: str = ""


def clock(config: Config, now: float | None = None) -> Check:
    """Look whether the clock went back: tokens, leases and the audit count on it."""
    current = time.time() if now is None else now
    for path in (config.state.path, config.file):
        if path.exists() and path.stat().st_mtime > current + CLOCK_SECONDS_MAX:
            finding = f"`{path}` was written {path.stat().st_mtime - current:.0f} s in the future"
            return Check(subject="clock", health="failure", finding=finding, advice="set the clock; run a time service")
    return Check(subject="clock", health="ok", finding=time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(current)))


def keys(config: Config) -> Iterator[Check]:
    """Look whether `secret_key` can be read, is a key, and is nobody else's to read."""
    for reference in config.secret_keys:
        subject = f"secret_key {reference}"
        try:
            reference.read_key()
        except SecretError as error:
            advice = "`oncegate init` writes one; or bring back the one this state was written with"
            yield Check(subject=subject, health="failure", finding=str(error), advice=advice)
            continue
        yield _closed(subject, reference.path)


def credentials(config: Config) -> Iterator[Check]:
    """Look whether every credential the gateway sends can be read."""
    for name, model in config.models.items():
        if model.credential is not None:
            yield _readable(f"credential of model {name}", model.credential)
    for name, server in config.mcp_servers.items():
        if server.credential is not None:
            yield _readable(
                f"credential of server {name}", server.credential.reference, in_header=server.credential.client is None
            )
    for name, domain in config.trust_domains.items():
        path = domain.api_keys_file
        if path is not None and not path.is_file():
            advice = "`oncegate token create` writes it"
            yield Check(subject=f"keys of {name}", health="warning", finding=f"`{path}` is absent", advice=advice)


def store(config: Config) -> Check:
    """Look whether the state can be written, and lies on a local disk."""
    path = config.state.path
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        finding = f"`{folder}` cannot be written"
        return Check(subject="store", health="failure", finding=finding, advice="make it, or change `state`")
    kind = file_system(folder)
    if kind in _NETWORK_FILE_SYSTEMS:
        finding = f"`{folder}` is on a network file system ({kind})"
        return Check(subject="store", health="failure", finding=finding, advice="move `state` to a local disk")
    if not path.exists():
        return Check(subject="store", health="ok", finding=f"`{path}` will be made at the first start")
    if not os.access(path, os.R_OK | os.W_OK):
        finding = f"`{path}` cannot be read and written by this user"
        return Check(subject="store", health="failure", finding=finding, advice="run as the gateway's user")
    return Check(subject="store", health="ok", finding=f"`{path}`, {path.stat().st_size / 1024**2:.1f} MiB")


def disk(config: Config) -> Check:
    """Look how much room is left beside the state."""
    folder = config.state.path.parent
    if not folder.is_dir():
        return Check(subject="disk", health="failure", finding=f"`{folder}` is absent", advice="make it")
    free = shutil.disk_usage(folder).free
    health: Health = "failure" if free < DISK_BYTES_MIN else "warning" if free < DISK_BYTES_LOW else "ok"
    advice = "" if health == "ok" else "make room: a journal that cannot be written stops every call"
    return Check(subject="disk", health=health, finding=f"{free / _GIB:.1f} GiB free at `{folder}`", advice=advice)


def commands(config: Config) -> Iterator[Check]:
    """Look whether servers that are commands are kept from keys, state and policies."""
    problems = [*unconfined(config), *unstartable(config)]
    for problem in problems:
        advice = "docs/mcp.md, Servers that are commands, says how"
        yield Check(subject="commands", health="failure", finding=problem.message, advice=advice)
    if not problems and any(server.command is not None for server in config.mcp_servers.values()):
        finding = "not checked in development" if config.development else "reach neither keys, state nor policies"
        yield Check(subject="commands", health="ok", finding=finding)


def file_system(folder: Path) -> str:
    """Return the kind of file system a folder lies on, `unknown` where the system does not say."""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return "unknown"
    found, kind = Path("/"), "unknown"
    place = folder.resolve()
    for mount in mounts:
        fields = mount.split(" ")
        point = Path(fields[1].replace("\\040", " "))
        if place.is_relative_to(point) and len(point.parts) >= len(found.parts):
            found, kind = point, fields[2]
    return kind


def _closed(subject: str, path: Path | None) -> Check:
    if path is not None and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Check(subject=subject, health="failure", finding="other users can read it", advice=f"chmod 600 {path}")
    return Check(subject=subject, health="ok", finding="a key, for its owner alone" if path else "a key")


def _readable(subject: str, reference: SecretReference, *, in_header: bool = True) -> Check:
    try:
        _ = reference.read_header() if in_header else reference.read()
    except SecretError as error:
        return Check(subject=subject, health="failure", finding=str(error), advice=f"put the credential at {reference}")
    return Check(subject=subject, health="ok", finding=f"{reference} is there")


def audit(config: Config) -> Iterator[Check]:
    """Look whether checkpoints can be written, and whether the key that signs them is nobody else's to read."""
    path = config.telemetry.checkpoints
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK):
        finding, advice = f"`{path}` cannot be written", "make its folder writable, or change `telemetry.checkpoints`"
        yield Check(subject="checkpoints", health="failure", finding=finding, advice=advice)
    else:
        finding = f"`{path}`" + ("" if path.exists() else " will be made at the first start")
        yield Check(subject="checkpoints", health="ok", finding=finding)
    key = signing_key_path(config)
    if key.exists():
        yield _closed("key of the audit", key)
