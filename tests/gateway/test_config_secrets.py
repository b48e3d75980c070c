"""Secrets are read where a reference says, late, and never shown."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from gateway.config import load
from gateway.secrets import SecretReference, SecretUnavailable, UnusableReference

if TYPE_CHECKING:
    from pathlib import Path


def file_reference(folder: Path, content: bytes) -> SecretReference:
    (folder / "secret").write_bytes(content)
    return SecretReference.parse("file:secret", folder=folder)


@pytest.mark.requirement("CFG-06")
def test_a_file_is_read_when_asked_relative_to_the_configuration_without_its_line_break(tmp_path: Path) -> None:
    reference = file_reference(tmp_path, b"first\n")
    assert reference.read() == "first"
    (tmp_path / "secret").write_bytes(b"second\r\n")
    assert reference.read() == "second"
    assert (str(reference), "second" in repr(reference)) == ("file:secret", False)


@pytest.mark.requirement("CFG-06")
def test_an_environment_variable_is_read_by_name(tmp_path: Path) -> None:
    name = next(name for name, value in os.environ.items() if value)
    assert SecretReference.parse(f"env:{name}", folder=tmp_path).read() == os.environ[name]


@pytest.mark.requirement("CFG-06")
@pytest.mark.parametrize("text", ["sk-proj-x", "env:", "env:A-B", "file:", "http://x", "", "env:1A", "file:a\nb"])
def test_what_is_no_reference_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnusableReference) as caught:
        SecretReference.parse(text, folder=tmp_path)
    assert str(caught.value) == "expected `env:NAME` or `file:PATH`"


@pytest.mark.requirement("CFG-06")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"x" * 65537, "is larger than 65536 bytes"),
        (b"\xff\xfe", "is not text"),
    ],
)
def test_an_unusable_secret_is_named_by_its_reference(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SecretUnavailable, match=f"`file:secret` {message}"):
        file_reference(tmp_path, content).read()


@pytest.mark.requirement("CFG-06")
def test_an_absent_secret_is_named_by_its_reference(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match="`file:nowhere` cannot be read: no such file"):
        SecretReference.parse("file:nowhere", folder=tmp_path).read()
    with pytest.raises(SecretUnavailable, match="`env:ONCEGATE_NOT_SET` is not set"):
        SecretReference.parse("env:ONCEGATE_NOT_SET", folder=tmp_path).read()


@pytest.mark.requirement("CFG-06")
def test_a_key_is_32_bytes_in_base64_and_nothing_else(tmp_path: Path) -> None:
    assert file_reference(tmp_path, base64.b64encode(b"k" * 32) + b"\n").read_key() == b"k" * 32
    for content in (b"k" * 32, base64.b64encode(b"k" * 31), b"not base64 !", base64.b64encode(b"k" * 33)):
        with pytest.raises(SecretUnavailable, match="`file:secret` is not a key; expected 32 random bytes in base64"):
            file_reference(tmp_path, content).read_key()


@pytest.mark.requirement("CFG-06")
@pytest.mark.parametrize("content", [b"a\r\nx-evil: 1", b"a\nb", b"\xc3\xa4", b" a", b"a\tb"])
def test_a_secret_that_would_break_a_header_is_not_sent(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SecretUnavailable, match="cannot stand in a header") as caught:
        file_reference(tmp_path, content).read_header()
    assert "evil" not in str(caught.value)


@pytest.mark.requirement("CFG-06")
def test_a_servers_credential_becomes_a_header_when_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n", encoding="utf-8")
    (tmp_path / "oncegate.yaml").write_text(
        "version: 1\nmcp_servers:\n"
        "  a: {url: 'https://a', credential: {bearer: 'file:token'}}\n"
        "  b: {url: 'https://b', credential: {header: {name: X-Key, value: 'file:token'}}}\n",
        encoding="utf-8",
    )
    servers = load(tmp_path / "oncegate.yaml").mcp_servers
    sent = [
        (one.credential.header_name, one.credential.header_value())
        for one in servers.values()
        if one.credential is not None
    ]
    assert sent == [("authorization", "Bearer t0ken"), ("x-key", "t0ken")]
    assert "t0ken" not in repr(servers)
