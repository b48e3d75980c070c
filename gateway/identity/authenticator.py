"""Who calls: one credential in, a verified principal out, or a refusal that says nothing more than that."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from durable.step import RunRef
from gateway.config.problems import ConfigInvalid, Problem
from gateway.identity import run_token
from gateway.identity.binding import demand_certificate
from gateway.identity.bundle_endpoint import fetch_bundle
from gateway.identity.certificate import Authorities, Certificates
from gateway.identity.compact import read_compact
from gateway.identity.credential import DPOP_HEADER, Credential, Picked, find_credential, only, pick, run_tokens_in
from gateway.identity.discovery import keys_of
from gateway.identity.dpop import Asked, Once, check_proof
from gateway.identity.key_cache import KeyCache, fetch_file, fetch_url
from gateway.identity.key_file import KeyFiles
from gateway.identity.names import ANONYMOUS
from gateway.identity.nonce import Nonces
from gateway.identity.refused import CredentialRefused, unidentified
from gateway.identity.revocation import Revocations
from gateway.identity.run_header import named_run
from gateway.identity.spiffe import (
    CERTIFICATE_HEADER,
    PROXY_HEADER,
    Svid,
    Workloads,
    by_certificate,
    names_workload,
    verify_svid,
)
from gateway.identity.token import Listener, Trusted, Verified, times_of, verify
from policy.decision import Principal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.call import Headers
    from gateway.config import Config
    from gateway.config.identity import Proxy, Spiffe
    from gateway.identity.api_keys import ApiKey
    from gateway.identity.certificate import Peer
    from gateway.identity.dpop import First
    from gateway.identity.key_cache import Pace

    #: For (run id, attempt) who its calls are decided as, and who opened it, `None` when there is no such run.
    #: May raise `Refusal`.
    RunPrincipal = Callable[[str, int], Awaitable[tuple[Principal, Principal] | None]]

TOKENS_MAX: Final = 4096
TOKEN_SECONDS_MAX: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """A verified caller.

    `run` is the run of the run token, or the one named by `Oncegate-Run` (attempt 0 without
    `Oncegate-Attempt`). `own_tokens` are run tokens of the request, which must not leave the gateway.
    """

    principal: Principal
    run: RunRef | None
    own_tokens: tuple[str, ...] = ()
    #: what the next proof must hold, where that has changed (`DPoP-Nonce`)
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class _About:
    """What a credential is shown for, and over which connection."""

    resource: str | None
    asked: Asked | None
    peer: Peer | None


@dataclass(frozen=True, slots=True)
class _Remembered:
    verified: Verified | Svid
    keys: KeyCache
    generation: int
    until: float


class Authenticator:
    """Verifies tokens of configured issuers, API keys and run tokens."""

    def __init__(
        self, *, issuers: Mapping[str, Trusted], keys: KeyFiles, run_keys: Sequence[bytes],
        run_principal: RunPrincipal, anonymous: bool, client: httpx.AsyncClient, revocations: Revocations,
        workloads: Mapping[str, Workloads], proxies: Mapping[str, Proxy], authorities: Authorities | None = None,
        nonces: Nonces, first: First | None = None, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._nonces = nonces
        self._revocations = revocations
        self._workloads = workloads
        self._proxies = proxies
        self.authorities = authorities or Authorities({})
        self._certificates = Certificates(self.authorities, workloads, clock)
        self._first = first or Once(clock).first
        self._issuers = issuers
        self._keys = keys
        self._run_keys = tuple(run_keys)
        self._run_principal = run_principal
        self._anonymous = anonymous
        self._client = client
        self._clock = clock
        self._remembered: OrderedDict[tuple[Listener, str | None, bytes], _Remembered] = OrderedDict()
        self._of_keys: dict[str, tuple[ApiKey, Principal]] = {}

    @classmethod
    async def open(
        cls, config: Config, *, secrets: Sequence[bytes], run_principal: RunPrincipal, pace: Pace | None = None,
        first: First | None = None,
    ) -> Authenticator:  # fmt: skip
        """Return the authenticator of `config`, its files read and its key servers asked once.

        `secrets` are the bytes of `secret_key`, the first signs. A key server that cannot be reached
        is asked again later; a file that cannot be used is not started with. `first` notes proofs that were
        used, for all instances; left out, this process notes them for itself.
        Raises `ConfigInvalid`.
        """
        keys = KeyFiles.open(config)
        client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=5.0)
        named = [domain.spiffe for domain in config.trust_domains.values() if domain.spiffe is not None]
        authorities = Authorities({
            one.trust_domain: one.authorities_file for one in named if one.authorities_file is not None
        })  # fmt: skip
        issuers: dict[str, Trusted] = {}
        workloads: dict[str, Workloads] = {}
        for name, domain in config.trust_domains.items():
            for entry in domain.issuers:
                cache = KeyCache(entry.issuer, entry.algorithms, keys_of(entry, client), pace=pace)
                issuers[entry.issuer] = Trusted(domain=name, entry=entry, keys=cache)
            if domain.spiffe is not None:
                workloads[domain.spiffe.trust_domain] = _workloads(name, domain.spiffe, client, pace, authorities)
        lists = {one.entry.issuer: one.entry.revoked_file for one in issuers.values()}
        found = cls(
            issuers=issuers,
            keys=keys,
            run_keys=[run_token.signing_key(secret) for secret in secrets],
            run_principal=run_principal,
            anonymous=config.development and config.listen.loopback,
            client=client,
            revocations=Revocations({name: path for name, path in lists.items() if path is not None}),
            workloads=workloads,
            proxies=config.proxies,
            authorities=authorities,
            nonces=Nonces(secrets),
            first=first,
        )
        await found._first_keys()
        return found

    async def identify(
        self, headers: Headers, path_token: str | None = None, *, query: bytes = b"", listener: Listener = "agents",
        resource: str | None = None, asked: Asked | None = None, peer: Peer | None = None,
    ) -> Identified:  # fmt: skip
        """Return the caller of a request, and the run it belongs to.

        A token may be for `resource`, the URL of the endpoint, instead of a configured audience. `asked` is what
        a proof of possession must be for; without it there is none. `peer` is who is at the other end where the
        gateway has ended TLS itself.
        With `path_token` (the run token of the URL path) every other credential is ignored.
        Raises `Unidentified`, and what the run's look-up raises.
        """
        picked = pick(headers)
        try:
            if path_token is not None:
                return await self._by_run_token(path_token, picked, listener)
            credential = find_credential(picked, query)
            if credential is not None and credential.kind == "run_token":
                return await self._by_run_token(credential.text, picked, listener)
            about = _About(resource, asked, peer)
            principal, nonce = await self._principal(credential, picked, listener, about)
            return Identified(principal=principal, run=named_run(picked), nonce=nonce)
        except CredentialRefused as refused:
            raise unidentified(refused.reason, refused.nonce) from None

    async def authenticate(
        self, headers: Headers, *, path_token: str | None = None, listener: Listener = "agents"
    ) -> Principal:
        """Return the caller of a request. Raises `Unidentified`."""
        return (await self.identify(headers, path_token, listener=listener)).principal

    async def authenticate_operator(self, headers: Headers) -> Principal:
        """Return the caller of a request to the admin listener, which has audiences and keys of its own.

        Raises `Unidentified`.
        """
        return (await self.identify(headers, listener="admin")).principal

    def mint_run_token(self, *, run_id: str, attempt: int, expires: float) -> str:
        """Return a run token that this authenticator accepts until `expires`, seconds since the epoch."""
        return run_token.mint(self._run_keys[0], run_id=run_id, attempt=attempt, expires=expires)

    @property
    def last_error(self) -> str | None:
        """What is wrong with the keys files since they were last read well."""
        return self._keys.last_error

    async def again(self) -> None:
        """Look at every file and ask every key server now; what cannot be used keeps what was read."""
        self.authorities.again()
        await asyncio.gather(self._keys.again(), self._revocations.again(), *(one.refresh() for one in self._caches()))

    async def aclose(self) -> None:
        """End fetches under way and close connections."""
        for keys in self._caches():
            await keys.aclose()
        await self._client.aclose()

    def _caches(self) -> list[KeyCache]:
        found = [one.keys for one in self._issuers.values()]
        return found + [one.keys for one in self._workloads.values() if one.keys is not None]

    async def _first_keys(self) -> None:
        files = {id(one.keys): (one.entry.jwks_file, f"issuer `{one.entry.issuer}`") for one in self._issuers.values()}
        files |= {
            id(one.keys): (one.entry.bundle_file, f"SPIFFE trust domain `{one.entry.trust_domain}`")
            for one in self._workloads.values()
        }
        caches = self._caches()
        fetched = await asyncio.gather(*(one.refresh() for one in caches))
        wrong = [files[id(one)] for one, worked in zip(caches, fetched, strict=True) if not worked]
        problems = [
            Problem(str(path), 0, f"holds no usable keys for {whose}") for path, whose in wrong if path is not None
        ]
        if problems:
            await self.aclose()
            raise ConfigInvalid(problems)

    async def _principal(
        self, credential: Credential | None, picked: Picked, listener: Listener, about: _About
    ) -> tuple[Principal, str | None]:
        """Return who calls, and the nonce of the next proof. Raises `CredentialRefused`."""
        if credential is None:
            return self._without_credential(picked, listener, about.peer), None
        if credential.kind == "api_key":
            if credential.proven:
                raise CredentialRefused("scheme_unknown")
            return await self._by_api_key(credential.text, listener), None
        verified = await self._by_token(credential.text, listener, about.resource)
        bound = verified.bound if isinstance(verified, Verified) else None
        if (bound is None or bound.key is None) and credential.proven:
            raise CredentialRefused("proof_wrong")
        if not isinstance(verified, Verified) or bound is None:
            return verified.principal, None
        if bound.certificate is not None:
            peer = about.peer if listener == "agents" else None
            demand_certificate(
                bound.certificate, verified.principal.domain, peer=peer, proxy=only(picked, PROXY_HEADER),
                forwarded=only(picked, CERTIFICATE_HEADER), proxies=self._proxies if listener == "agents" else {},
            )  # fmt: skip
        if bound.key is None:
            return verified.principal, None
        nonces = self._nonces if verified.issuer.entry.dpop_nonce == "require" else None
        proof = only(picked, DPOP_HEADER)
        return verified.principal, await self._demand_proof(credential, proof, bound.key, about.asked, nonces)

    def _without_credential(self, picked: Picked, listener: Listener, peer: Peer | None) -> Principal:
        """Return who comes without a token: behind a proxy, with a certificate, or unknown where that is allowed."""
        shown = only(picked, PROXY_HEADER)
        if shown is not None:
            if listener != "agents":
                raise CredentialRefused("wrong_listener")
            return by_certificate(shown, only(picked, CERTIFICATE_HEADER), self._workloads, self._proxies)
        if peer is not None and CERTIFICATE_HEADER in picked:
            # where connections end here, only a proxy that proves itself has anything to forward
            raise CredentialRefused("proxy_wrong")
        if peer is not None and peer.certificate is not None and listener == "agents":
            return self._certificates.principal_of(peer.certificate)
        if self._anonymous and listener == "agents":
            return Principal(agent=ANONYMOUS, domain="default", method="anonymous")
        raise CredentialRefused("no_credential")

    async def _demand_proof(
        self, credential: Credential, proof: str | None, bound: str, asked: Asked | None, nonces: Nonces | None
    ) -> str | None:
        if not credential.proven:
            # whoever has stolen a bound token shows it as a plain one (RFC 9449 section 7.2)
            raise CredentialRefused("bound_token")
        if proof is None or asked is None:
            raise CredentialRefused("proof_missing")
        return await check_proof(
            proof, asked, token=credential.text, bound=bound, now=self._clock(), first=self._first, nonces=nonces
        )

    async def _by_api_key(self, text: str, listener: Listener) -> Principal:
        key = await self._keys.find(text)
        if key.until <= self._clock():
            raise CredentialRefused("key_expired")
        if key.listener != listener:
            raise CredentialRefused("wrong_listener")
        made = self._of_keys.get(key.name)
        if made is None or made[0] is not key:  # the file was read again: what the key stands for may have changed
            principal = Principal(
                agent=key.agent, domain=key.domain, roles=frozenset(key.roles), method="api_key",
                credential=f"key:{key.name}", scopes=None if key.scopes is None else frozenset(key.scopes),
            )  # fmt: skip
            made = self._of_keys[key.name] = key, principal
        return made[1]

    async def _by_token(self, text: str, listener: Listener, resource: str | None) -> Verified | Svid:
        place = (listener, resource, hashlib.sha256(text.encode()).digest())
        now = self._clock()
        known = self._remembered.get(place)
        if known is not None and known.until > now and known.generation == known.keys.generation:
            self._remembered.move_to_end(place)
            return await self._not_revoked(known.verified)
        verified, keys = await self._verified(text, listener, resource)
        until = min(verified.until, now + TOKEN_SECONDS_MAX)
        self._remembered[place] = _Remembered(verified, keys, keys.generation, until)
        self._remembered.move_to_end(place)
        while len(self._remembered) > TOKENS_MAX:
            self._remembered.popitem(last=False)
        return await self._not_revoked(verified)

    async def _verified(self, text: str, listener: Listener, resource: str | None) -> tuple[Verified | Svid, KeyCache]:
        compact = read_compact(text)
        if self._workloads and names_workload(compact) and str(compact.claims.get("iss")) not in self._issuers:
            if listener != "agents":
                raise CredentialRefused("wrong_listener")
            svid = await verify_svid(text, compact, self._workloads, times=times_of(compact), now=self._clock())
            if svid.workloads.keys is None:
                raise CredentialRefused("issuer_unknown")
            return svid, svid.workloads.keys
        verified = await verify(text, compact, self._issuers, listener=listener, resource=resource)
        return verified, verified.issuer.keys

    async def _not_revoked(self, found: Verified | Svid) -> Verified | Svid:
        if isinstance(found, Verified) and await self._revocations.revoked_principal(found.principal):
            raise CredentialRefused("revoked")
        return found

    async def _by_run_token(self, text: str, picked: Picked, listener: Listener) -> Identified:
        said = run_token.read(self._run_keys, text, now=self._clock())
        if listener != "agents":
            # it opens nothing but its run's calls
            raise CredentialRefused("wrong_listener")
        named = named_run(picked)
        if named is not None and (named.id != said.run_id or named.attempt not in {0, said.attempt}):
            raise CredentialRefused("run_header_differs")
        found = await self._run_principal(said.run_id, said.attempt)
        if found is None:
            raise CredentialRefused("run_unknown")
        principal, opener = found
        await self._demand_parent(opener)
        own = tuple(dict.fromkeys((text, *run_tokens_in(picked))))
        return Identified(principal=principal, run=RunRef(said.run_id, said.attempt), own_tokens=own)

    async def _demand_parent(self, principal: Principal) -> None:
        """Let a run go on only while what opened it is not revoked; that it has expired meanwhile is no matter.

        Who is configured no more has been revoked as a whole.
        """
        kind, _, name = principal.credential.partition(":")
        if kind == "key" and await self._keys.known(name) is None:
            raise CredentialRefused("revoked")
        if principal.issuer is not None and not self._trusts(principal.issuer):
            raise CredentialRefused("revoked")
        if await self._revocations.revoked_principal(principal):
            raise CredentialRefused("revoked")

    def _trusts(self, issuer: str) -> bool:
        """Return whether whoever has vouched for a principal is still configured."""
        if issuer.startswith("spiffe://"):
            return issuer.removeprefix("spiffe://") in self._workloads
        if issuer.startswith("proxy:"):
            return issuer.removeprefix("proxy:") in self._proxies
        return issuer in self._issuers


def _workloads(
    domain: str, entry: Spiffe, client: httpx.AsyncClient, pace: Pace | None, authorities: Authorities
) -> Workloads:
    fetch = None
    if entry.bundle_file is not None:
        fetch = fetch_file(entry.bundle_file)
    elif entry.bundle_url is not None and entry.bundle_endpoint_id is not None:
        fetch = fetch_bundle(entry.bundle_url, entry.bundle_endpoint_id, entry.trust_domain, authorities)
    elif entry.bundle_url is not None:
        fetch = fetch_url(client, entry.bundle_url)
    if fetch is None:
        return Workloads(domain=domain, entry=entry, keys=None)
    name = f"spiffe://{entry.trust_domain}"
    return Workloads(
        domain=domain, entry=entry, keys=KeyCache(name, entry.algorithms, fetch, pace=pace, use="jwt-svid")
    )
