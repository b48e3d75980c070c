"""Upstreams over TLS, with an authority made for the test."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.call import NotSent, Sent, UpstreamRequest
from gateway.upstream.http import HttpUpstream
from tests.gateway.peer import OK, Peer, Talk, serve_ok

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

REQUEST = UpstreamRequest(method="POST", path="/chat", headers=(), body=b"{}")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    # what `serve` runs on; the standard library's loop does not tell a TLS end from a broken one
    return "asyncio", {"use_uvloop": True}


def authority(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the server's and the client's context for a certificate that names `host`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


async def answered(upstream: HttpUpstream) -> bytes:
    response = await upstream.send(REQUEST, seconds_max=60)
    try:
        return b"".join([chunk async for chunk in response.chunks()])
    finally:
        await response.aclose()


@pytest.mark.requirement("UP-11")
async def test_an_upstream_with_an_accepted_certificate_is_used_and_its_connection_kept(tmp_path: Path) -> None:
    server, client = authority(tmp_path, "localhost")
    async with Peer(serve_ok, server) as peer:
        upstream = HttpUpstream(peer.url, tls=client)
        for _ in range(3):
            assert await answered(upstream) == b"ok"
        assert len(peer.talks) == 1


@pytest.mark.requirement("UP-11")
async def test_a_certificate_of_an_unknown_authority_means_not_sent(tmp_path: Path) -> None:
    server, _ = authority(tmp_path, "localhost")
    async with Peer(serve_ok, server) as peer:
        with pytest.raises(NotSent, match="certificate"):
            await answered(HttpUpstream(peer.url))
        assert peer.talks == []


@pytest.mark.requirement("UP-11")
async def test_a_certificate_for_another_host_means_not_sent(tmp_path: Path) -> None:
    server, client = authority(tmp_path, "elsewhere.example")
    async with Peer(serve_ok, server) as peer:
        with pytest.raises(NotSent, match="certificate"):
            await answered(HttpUpstream(peer.url, tls=client))
        assert peer.talks == []


@pytest.mark.requirement("UP-11")
async def test_a_server_that_speaks_no_tls_means_not_sent() -> None:
    async def plain(talk: Talk, _: int) -> None:
        await talk.reader.read(1)
        await talk.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await talk.end()

    async with Peer(plain) as peer:
        with pytest.raises(NotSent, match="TLS"):
            await answered(HttpUpstream(f"https://127.0.0.1:{peer.port}"))


@pytest.mark.requirement("UP-11")
async def test_a_body_that_ends_with_its_connection_needs_the_end_that_tls_vouches_for(tmp_path: Path) -> None:
    server, client = authority(tmp_path, "localhost")

    async def script(talk: Talk, number: int) -> None:
        await talk.request()
        await talk.say(b"HTTP/1.1 200 OK\r\n\r\nok")
        if number == 0:
            await talk.end()
        else:
            await talk.reset()

    async with Peer(script, server) as peer:
        upstream = HttpUpstream(peer.url, tls=client)
        assert await answered(upstream) == b"ok"
        with pytest.raises(Sent):
            await answered(upstream)


@pytest.mark.requirement("UP-05", "UP-11")
async def test_a_kept_tls_connection_that_the_upstream_closed_is_not_used(tmp_path: Path) -> None:
    server, client = authority(tmp_path, "localhost")
    closed = asyncio.Event()

    async def one_each(talk: Talk, _: int) -> None:
        await talk.request()
        await talk.say(OK)
        await talk.end()
        closed.set()

    async with Peer(one_each, server) as peer:
        upstream = HttpUpstream(peer.url, tls=client)
        for _ in range(5):
            assert await answered(upstream) == b"ok"
            async with asyncio.timeout(60):
                await closed.wait()
            closed.clear()
