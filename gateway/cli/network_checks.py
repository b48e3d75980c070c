"""What `doctor` looks at over the network: upstreams, issuers and their keys, exporters, certificates, clocks."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx
from cryptography import x509

from gateway.cli.checks import CLOCK_SECONDS_MAX, Check
from gateway.identity.discovery import discover, metadata_of, named_url
from gateway.identity.key_cache import fetch_file, fetch_url
from gateway.identity.key_set import KeySetUnusable, read_key_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Config, Issuer
    from gateway.config.login import Login

CONNECT_SECONDS_MAX: Final = 3.0
#: Time to renew a certificate in.
CERTIFICATE_DAYS_MIN: Final = 14


def upstreams(config: Config) -> Iterator[Check]:
    """Look whether every upstream can be connected to, or its program be found."""
    for name, model in config.models.items():
        yield connected(f"model {name}", model.url)
    for name, server in config.mcp_servers.items():
        if server.url is not None:
            yield connected(f"server {name}", server.url)
        elif server.command is not None:
            yield _program(f"server {name}", server.command[0])
    for name, agent in config.agents.items():
        if agent.url is not None:
            reached = connected(f"agent {name}", agent.url)
            late = "start it, or correct its url; what it is sent is tried again until its deadline, then a dead letter"
            yield reached if reached.health == "ok" else replace(reached, advice=late)


def issuers(config: Config) -> Iterator[Check]:
    """Look whether the keys of every issuer and login provider can be had, and whether their clocks are ours."""
    for domain in config.trust_domains.values():
        if domain.login is not None:
            yield from asyncio.run(_provider(f"login of {domain.name}", domain.login))
        for issuer in domain.issuers:
            yield from asyncio.run(_issuer(f"issuer {issuer.issuer}", issuer))


async def _issuer(subject: str, issuer: Issuer) -> list[Check]:
    async with _client() as client:
        if issuer.jwks_file is not None:
            fetch = fetch_file(issuer.jwks_file)
        elif issuer.jwks_url is not None:
            fetch = fetch_url(client, issuer.jwks_url)
        else:
            fetch = discover(client, issuer.issuer)
        try:
            found = len(read_key_set(await fetch(), issuer.algorithms))
        except (KeySetUnusable, OSError) as error:
            return [_keyless(subject, str(error))]
    checks = [Check(subject=subject, health="ok", finding=f"{found} key(s) that can be used")]
    if not found:
        checks = [_keyless(subject, "its key set holds none that can be used")]
    return checks + ([] if issuer.jwks_file is not None else _clock(subject, client))


async def _provider(subject: str, login: Login) -> list[Check]:
    async with _client() as client:
        try:
            said = await metadata_of(client, login.issuer, openid=True)
            for name in ("authorization_endpoint", "token_endpoint"):
                named_url(said, name)
            found = len(read_key_set(await fetch_url(client, named_url(said, "jwks_uri"))(), login.algorithms))
        except KeySetUnusable as error:
            return [_keyless(subject, str(error))]
    finding = f"`{login.issuer}`, {found} key(s) that can be used"
    return [Check(subject=subject, health="ok", finding=finding), *_clock(subject, client)]


class _Client(httpx.AsyncClient):
    """A client that keeps what the last server said the time is."""

    date: str | None = None


def _client() -> _Client:
    client = _Client(trust_env=False, timeout=CONNECT_SECONDS_MAX)

    async def note(response: httpx.Response) -> None:
        client.date = response.headers.get("date")

    client.event_hooks = {"response": [note]}
    return client


def _clock(subject: str, client: _Client) -> list[Check]:
    check = clock_of(subject, client.date)
    return [] if check is None else [check]


def clock_of(subject: str, said: str | None, now: float | None = None) -> Check | None:
    """Return what is wrong where a server's `Date` (RFC 9110 section 6.6.1) and our clock are far apart."""
    try:
        theirs = None if said is None else parsedate_to_datetime(said).timestamp()
    except ValueError:
        theirs = None
    if theirs is None:
        return None
    apart = (time.time() if now is None else now) - theirs
    if abs(apart) <= CLOCK_SECONDS_MAX:
        return None
    finding = (
        f"{abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} {subject}: its tokens seem to be of another time"
    )
    return Check(subject="clock", health="failure", finding=finding, advice="set the clock; run a time service")


def exporters(config: Config) -> Iterator[Check]:
    """Ask the collector to take nothing, which every collector can."""
    otlp_url = config.telemetry.otlp_url
    if otlp_url is None:
        return
    reached = connected("collector", otlp_url)
    if reached.health != "ok":
        advice = (
            "start the collector, or correct `telemetry.otlp`; the audit waits in the store, spans are lost until then"
        )
        yield replace(reached, advice=advice)
        return
    for what, path in (("traces", "/v1/traces"), ("the audit", "/v1/logs"), ("metrics", "/v1/metrics")):
        headers = {"content-type": "application/x-protobuf"}
        try:
            status = httpx.post(
                otlp_url.rstrip("/") + path, content=b"", headers=headers, timeout=CONNECT_SECONDS_MAX, trust_env=False
            ).status_code
        except httpx.HTTPError:
            status = 0
        subject = f"exporter of {what}"
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP
            yield Check(subject=subject, health="ok", finding=f"{path} takes it")
            continue
        advice = (
            "name a collector that takes logs too; the audit waits in the store until then"
            if what == "the audit" else f"name a collector that takes {what} too, or do without them"
        )  # fmt: skip
        finding = f"{path} answers {status or 'nothing in time'}"
        yield Check(subject=subject, health="warning", finding=finding, advice=advice)


def certificate(config: Config, now: datetime | None = None) -> Iterator[Check]:
    """Look how long the gateway's own certificate is still good."""
    if config.tls is None:
        return
    path, subject = config.tls.certificate_file, "certificate"
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError):
        finding = f"`{path}` cannot be read as PEM"
        yield Check(
            subject=subject, health="failure", finding=finding, advice="write the certificate and its chain there"
        )
        return
    moment = datetime.now(UTC) if now is None else now
    left = (found.not_valid_after_utc - moment).days
    finding = f"`{path}` is good from {found.not_valid_before_utc:%Y-%m-%d} to {found.not_valid_after_utc:%Y-%m-%d}"
    advice = "put a new one in its place; the gateway takes it without a restart"
    if not found.not_valid_before_utc <= moment <= found.not_valid_after_utc:
        yield Check(subject=subject, health="failure", finding=f"{finding}: not now", advice=advice)
    elif left < CERTIFICATE_DAYS_MIN:
        yield Check(subject=subject, health="warning", finding=f"{finding}: {left} day(s) are left", advice=advice)
    else:
        yield Check(subject=subject, health="ok", finding=finding)


def connected(subject: str, url: str, context: ssl.SSLContext | None = None) -> Check:
    """Look whether something listens at `url` and, for https, shows a certificate that is good for it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    advice = "start it, or correct its url; calls to it fail until then"
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS_MAX) as connection:
            if parts.scheme == "https":
                trusted = httpx.create_ssl_context(trust_env=False) if context is None else context
                trusted.wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        finding = f"{host}:{port}: its certificate is refused: {error.verify_message.lower()}"
        advice = "have whoever runs it renew its certificate, or correct its url; calls to it fail until then"
        return Check(subject=subject, health="failure", finding=finding, advice=advice)
    except ssl.SSLError:
        finding = f"{host}:{port}: does not speak TLS as expected"
        return Check(
            subject=subject, health="failure", finding=finding, advice="correct its url: `http` or another port"
        )
    except OSError as error:
        reason = (error.strerror or "no answer in time").lower()
        return Check(subject=subject, health="failure", finding=f"{host}:{port}: {reason}", advice=advice)
    return Check(subject=subject, health="ok", finding=f"{host}:{port} answers")


def _keyless(subject: str, finding: str) -> Check:
    advice = "see that it is reached and its url right; tokens of it are refused until then"
    return Check(subject=subject, health="failure", finding=finding, advice=advice)


def _program(subject: str, program: str) -> Check:
    if shutil.which(program) is None:
        finding = f"`{program}` is no program that can be run"
        return Check(subject=subject, health="failure", finding=finding, advice="install it, or correct its command")
    return Check(subject=subject, health="ok", finding=f"`{program}` can be run")
