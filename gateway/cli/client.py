"""Asks a gateway: over its owner's Unix socket, or over HTTP as whoever the token is."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httpx

from gateway.admin.address import address
from gateway.body import MalformedBody, encode, parse, plain
from gateway.cli.output import NO, UNREACHABLE, USAGE, Failure
from gateway.secrets import SecretError, SecretReference

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How long one question may take.
ANSWER_SECONDS_MAX = 30.0
CONNECT_SECONDS_MAX = 5.0
#: A listing of `ROWS_MAX` calls is far below this.
ANSWER_BYTES_MAX = 64 * 1024 * 1024

_USAGE_STATUSES = frozenset({400, 401, 413, 421, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which gateway is asked: `socket` its owner's, or `url` with the credential at `token`."""

    socket: Path | None = None
    url: str | None = None
    token: SecretReference | None = None

    def __str__(self) -> str:
        return str(self.socket if self.socket is not None else self.url)


def remote(url: str, token: str | None) -> Target:
    """Return the target that `--url` and `--token` name. Raises `Failure`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Failure(USAGE, f"`--url`: expected http://host:port or https://host:port, got `{parts.geturl()}`")
    if token is None:
        raise Failure(USAGE, "`--url` needs `--token env:NAME` or `--token file:PATH`")
    try:
        reference = SecretReference.parse(token, folder=Path.cwd())
    except SecretError:
        # what stands there may be the token itself
        raise Failure(USAGE, "`--token`: expected `env:NAME` or `file:PATH`, never the credential itself") from None
    return Target(url=url.rstrip("/"), token=reference)


def ask(
    target: Target, method: str, path: str, *, query: Mapping[str, str] | None = None, body: object = None
) -> object:
    """Send one request and return the JSON answered. Raises `Failure` with the exit code that fits.

    `body` is sent as JSON, numbers by their text.
    """
    content = None if body is None else encode(body)
    headers = {} if content is None else {"content-type": "application/json"}
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(target, stack))
        try:
            with client.stream(method, path, params=query, content=content, headers=headers) as answer:
                read = _read(answer)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Failure(UNREACHABLE, f"no gateway answers at `{target}`; is `oncegate serve` running?") from None
        except httpx.HTTPError:
            raise Failure(UNREACHABLE, f"the gateway at `{target}` broke off while answering") from None
    value = _value(target, read)
    if answer.is_success:
        return value
    raise _refusal(answer.status_code, value)


def _client(target: Target, stack: contextlib.ExitStack) -> httpx.Client:
    timeout = httpx.Timeout(ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
    if target.socket is not None:
        _check_socket(target.socket)
        transport = httpx.HTTPTransport(uds=stack.enter_context(address(target.socket)))
        return httpx.Client(transport=transport, base_url="http://oncegate", timeout=timeout)
    headers: dict[str, str] = {}
    if target.token is not None:
        try:
            headers["authorization"] = f"Bearer {target.token.read_header()}"
        except SecretError as error:
            raise Failure(USAGE, f"`--token`: {error}") from None
    # proxies of the environment must not see the credential
    return httpx.Client(base_url=str(target.url), headers=headers, timeout=timeout, trust_env=False)


def _check_socket(path: Path) -> None:
    try:
        there = path.is_socket()
    except OSError:
        there = True
    if not there:
        raise Failure(UNREACHABLE, f"no gateway answers at `{path}`; is `oncegate serve` running?")
    if not os.access(path, os.W_OK):
        raise Failure(NO, f"`{path}` answers only its owner: run the command as the user the gateway runs as")


def _read(answer: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise Failure(NO, f"the answer is larger than {ANSWER_BYTES_MAX} bytes; ask for less with `--limit`")
        parts.append(part)
    return b"".join(parts)


def _value(target: Target, read: bytes) -> object:
    try:
        return plain(parse(read)) if read else None
    except MalformedBody:
        raise Failure(UNREACHABLE, f"what answers at `{target}` is not an Oncegate gateway") from None


def _refusal(status: int, value: object) -> Failure:
    detail = f"the gateway answered {status}"
    if isinstance(value, dict):
        problem = cast("dict[str, object]", value)
        error = problem.get("error")
        inner = cast("dict[str, object]", error) if isinstance(error, dict) else problem
        said = inner.get("detail") or inner.get("message")
        if isinstance(said, str):
            detail = said
    if status in _USAGE_STATUSES:
        return Failure(USAGE, detail)
    # 502, 503, 504: it is there but cannot work now; asking later may help
    return Failure(UNREACHABLE if status >= 500 else NO, detail)  # noqa: PLR2004 - HTTP
