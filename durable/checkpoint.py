"""Signed checkpoints of the audit: how long each chain is and what its head is, under a key kept apart.

A checkpoint is one line of JSON: the statement, the public key and an Ed25519 signature (RFC 8032) over the
statement's canonical text. A chain alone shows edits; a checkpoint kept elsewhere also shows a tail that was
cut, a chain that was written anew, and a database put in the place of another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Kind = Literal["checkpoint", "pruned"]

_CONTEXT: Final = b"oncegate/checkpoint/1\x00"
_VERSION: Final = 1
_CANONICAL: Final = msgspec.json.Encoder(order="sorted")
_KEY_ID_BYTES: Final = 8


class CheckpointInvalid(Exception):  # noqa: N818 - says what is known
    """A checkpoint or a key cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Head:
    """A chain's last record: its number, and its hash."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A statement whose signature holds. `key` is the id of who signed it, `chains` what it says of each chain.

    `pruned` says that everything up to those heads may be gone. `number` counts the signer's checkpoints.
    """

    kind: Kind
    key: str
    number: int
    chain: str
    time: int
    previous: str
    chains: Mapping[str, Head]
    line: str

    @property
    def digest(self) -> str:
        """The name the next checkpoint calls this one by."""
        return hashlib.sha256(self.line.encode()).hexdigest()


class SigningKey:
    """One instance's Ed25519 key, kept in a file of its own."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = _raw(private.public_key())
        self.id = key_id(self._public)

    @classmethod
    def open(cls, path: Path) -> SigningKey:
        """Return the key in `path` (0600), made when new, public half in `<path>.pub`. Raises `CheckpointInvalid`."""
        try:
            if not path.exists():
                _create(path)
            private = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError):
            raise CheckpointInvalid(f"`{path}`: expected a private key in PEM; the audit is signed with it") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise CheckpointInvalid(f"`{path}`: expected an Ed25519 key; the audit is signed with it")
        return cls(private)

    def sign(  # noqa: PLR0917 - the statement's fields, in order
        self, kind: Kind, chain: str, number: int, previous: str, time: int, chains: Mapping[str, Head]
    ) -> Checkpoint:
        """Return a signed statement; `time` is microseconds since the epoch."""
        said = {name: [head.number, head.hash.hex()] for name, head in chains.items()}
        statement = {
            "version": _VERSION, "kind": kind, "key": self.id, "number": number, "chain": chain, "time": time,
            "previous": previous, "chains": said,
        }  # fmt: skip
        text = _CANONICAL.encode(statement)
        line = _CANONICAL.encode({
            "checkpoint": statement, "public_key": base64.b64encode(self._public).decode(),
            "signature": base64.b64encode(self._private.sign(_CONTEXT + text)).decode(),
        }).decode()  # fmt: skip
        return Checkpoint(
            kind=kind, key=self.id, number=number, chain=chain, time=time, previous=previous, chains=dict(chains),
            line=line,
        )  # fmt: skip


def key_id(public: bytes) -> str:
    """Return the id of a public key: the first bytes of its hash, in hex."""
    return hashlib.sha256(public).digest()[:_KEY_ID_BYTES].hex()


def read_public_key(path: Path) -> str:
    """Return the id of the public key in a PEM file. Raises `CheckpointInvalid`."""
    try:
        public = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        raise CheckpointInvalid(f"`{path}`: expected a public key in PEM") from None
    if not isinstance(public, Ed25519PublicKey):
        raise CheckpointInvalid(f"`{path}`: expected an Ed25519 public key")
    return key_id(_raw(public))


def read_checkpoint(line: str) -> Checkpoint:
    """Return the checkpoint in a line, its signature verified. Raises `CheckpointInvalid`."""
    try:
        found = cast("dict[str, object]", msgspec.json.decode(line))
        statement = cast("dict[str, object]", found["checkpoint"])
        public = base64.b64decode(str(found["public_key"]), validate=True)
        signature = base64.b64decode(str(found["signature"]), validate=True)
        said = cast("dict[str, list[object]]", statement["chains"])
        chains = {name: Head(int(str(number)), bytes.fromhex(str(digest))) for name, (number, digest) in said.items()}
        checkpoint = Checkpoint(
            kind="pruned" if statement["kind"] == "pruned" else "checkpoint", key=key_id(public),
            number=int(str(statement["number"])), chain=str(statement["chain"]), time=int(str(statement["time"])),
            previous=str(statement["previous"]), chains=chains, line=line,
        )  # fmt: skip
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _CONTEXT + _CANONICAL.encode(statement))
    except (msgspec.DecodeError, binascii.Error, KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointInvalid("expected a checkpoint: one line of JSON with its signature") from None
    except InvalidSignature:
        raise CheckpointInvalid("its signature does not hold: it was changed, or another key has signed it") from None
    if statement.get("key") != checkpoint.key or statement.get("version") != _VERSION:
        raise CheckpointInvalid("it names another key or version than its own")
    return checkpoint


def _raw(public: Ed25519PublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _create(path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path.with_name(path.name + ".pub").write_bytes(public)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
