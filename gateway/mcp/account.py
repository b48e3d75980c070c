"""Accounts of the machine: which one a server's process runs as, and what that one could read or write.

Judged by owner, group and mode bits of a path and of the folders above it (POSIX file access permissions).
Where a list of further users stands beside them, the group's bits count for everybody: they are its mask.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_READ: Final = 0o4
_WRITE: Final = 0o2
_PASS: Final = 0o1
_ACL: Final = "system.posix_acl_access"
#: Bits of `CapEff` in `/proc/self/status` (capabilities(7)): CAP_SETGID, CAP_SETUID.
_MAY_SWITCH: Final = 1 << 6 | 1 << 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account by name, with the numbers the system knows it by."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]
    home: str

    def can_read(self, path: Path) -> bool:
        """Return whether the account could read `path`; what is not there cannot be read."""
        return self._may(path, _READ)

    def can_change(self, path: Path) -> bool:
        """Return whether the account could write `path`, or put something else in its place."""
        return self._may(path, _WRITE) or self._may_replace(path)

    def _may(self, path: Path, wanted: int) -> bool:
        place = path.resolve()
        try:
            return all(self._has(folder, _PASS) for folder in place.parents) and self._has(place, wanted)
        except OSError:
            return False

    def _may_replace(self, path: Path) -> bool:
        folder = path.resolve().parent
        with contextlib.suppress(OSError):
            if folder.stat().st_mode & stat.S_ISVTX:  # there, only owners put something else in the place
                return folder.stat().st_uid == self.uid
        return self._may(folder, _WRITE) and self._may(folder, _PASS)

    def _has(self, path: Path, wanted: int) -> bool:
        found = path.stat()
        bits = found.st_mode
        if self.uid == 0:
            return True
        if found.st_uid == self.uid:
            bits >>= 6
        elif found.st_gid in self.groups:
            bits >>= 3
        elif _has_list(path):
            bits |= bits >> 3
        return bool(bits & wanted)


def account_of(name: str) -> Account | None:
    """Return the account of that name, `None` when the machine has none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = frozenset(os.getgrouplist(name, entry.pw_gid))
    return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, groups=groups, home=entry.pw_dir)


def may_become(account: Account) -> bool:
    """Return whether this process may start others as `account`."""
    return account.uid == os.geteuid() or os.geteuid() == 0 or _capable()


def _capable() -> bool:
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - a file of the kernel
        for line in status:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16) & _MAY_SWITCH == _MAY_SWITCH
    return False


def _has_list(path: Path) -> bool:
    with contextlib.suppress(OSError, AttributeError):
        return _ACL in os.listxattr(path)
    return False
