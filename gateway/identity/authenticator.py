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
from gateway.identity.credential import Credential, Picked, find_credential, pick, run_tokens_in
from gateway.identity.discovery import discover
from gateway.identity.key_cache import KeyCache, fetch_file, fetch_url
from gateway.identity.key_file import KeyFiles
from gateway.identity.names import ANONYMOUS
from gateway.identity.refused import CredentialRefused, unidentified
from gateway.identity.run_header import named_run
from gateway.identity.token import Listener, Trusted, Verified, verify
from policy.decision import Principal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.call import Headers
    from gateway.config import Config, Issuer
    from gateway.identity.api_keys import ApiKey
    from gateway.identity.key_cache import Fetch, Pace

    #: The principal of a run's row for (run id, attempt), `None` when there is no such run. May raise `Refusal`.
    RunPrincipal = Callable[[str, int], Awaitable[Principal | None]]

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


@dataclass(frozen=True, slots=True)
class _Remembered:
    verified: Verified
    generation: int
    until: float


class Authenticator:
    """Verifies tokens of configured issuers, API keys and run tokens."""

    def __init__(
        self, *, issuers: Mapping[str, Trusted], keys: KeyFiles, run_keys: Sequence[bytes],
        run_principal: RunPrincipal, anonymous: bool, client: httpx.AsyncClient,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
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
        cls, config: Config, *, secrets: Sequence[bytes], run_principal: RunPrincipal, pace: Pace | None = None
    ) -> Authenticator:
        """Return the authenticator of `config`, its files read and its key servers asked once.

        `secrets` are the bytes of `secret_key`, the first signs. A key server that cannot be reached
        is asked again later; a file that cannot be used is not started with.
        Raises `ConfigInvalid`.
        """
        keys = KeyFiles.open(config)
        client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=5.0)
        issuers: dict[str, Trusted] = {}
        for name, domain in config.trust_domains.items():
            for entry in domain.issuers:
                cache = KeyCache(entry.issuer, entry.algorithms, _fetch(entry, client), pace=pace)
                issuers[entry.issuer] = Trusted(domain=name, entry=entry, keys=cache)
        found = cls(
            issuers=issuers,
            keys=keys,
            run_keys=[run_token.signing_key(secret) for secret in secrets],
            run_principal=run_principal,
            anonymous=config.development and config.listen.loopback,
            client=client,
        )
        await found._first_keys()
        return found

    async def identify(
        self, headers: Headers, path_token: str | None = None, *, query: bytes = b"", listener: Listener = "agents",
        resource: str | None = None,
    ) -> Identified:  # fmt: skip
        """Return the caller of a request, and the run it belongs to.

        A token may be for `resource`, the URL of the endpoint, instead of a configured audience.
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
            principal = await self._principal(credential, listener, resource)
            return Identified(principal=principal, run=named_run(picked))
        except CredentialRefused as refused:
            raise unidentified(refused.reason) from None

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

    async def aclose(self) -> None:
        """End fetches under way and close connections."""
        for trusted in self._issuers.values():
            await trusted.keys.aclose()
        await self._client.aclose()

    async def _first_keys(self) -> None:
        trusted = list(self._issuers.values())
        fetched = await asyncio.gather(*(one.keys.refresh() for one in trusted))
        problems = [
            Problem(str(one.entry.jwks_file), 0, f"holds no usable keys for issuer `{one.entry.issuer}`")
            for one, worked in zip(trusted, fetched, strict=True)
            if not worked and one.entry.jwks_file is not None
        ]
        if problems:
            await self.aclose()
            raise ConfigInvalid(problems)

    async def _principal(self, credential: Credential | None, listener: Listener, resource: str | None) -> Principal:
        if credential is None:
            if self._anonymous and listener == "agents":
                return Principal(agent=ANONYMOUS, domain="default", method="anonymous")
            raise CredentialRefused("no_credential")
        if credential.kind == "api_key":
            return await self._by_api_key(credential.text, listener)
        return (await self._by_token(credential.text, listener, resource)).principal

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
                credential=f"key:{key.name}",
            )  # fmt: skip
            made = self._of_keys[key.name] = key, principal
        return made[1]

    async def _by_token(self, text: str, listener: Listener, resource: str | None) -> Verified:
        place = (listener, resource, hashlib.sha256(text.encode()).digest())
        now = self._clock()
        known = self._remembered.get(place)
        if known is not None and known.until > now and known.generation == known.verified.issuer.keys.generation:
            self._remembered.move_to_end(place)
            return known.verified
        verified = await verify(text, self._issuers, listener=listener, resource=resource)
        until = min(verified.until, now + TOKEN_SECONDS_MAX)
        self._remembered[place] = _Remembered(verified, verified.issuer.keys.generation, until)
        self._remembered.move_to_end(place)
        while len(self._remembered) > TOKENS_MAX:
            self._remembered.popitem(last=False)
        return verified

    async def _by_run_token(self, text: str, picked: Picked, listener: Listener) -> Identified:
        said = run_token.read(self._run_keys, text, now=self._clock())
        if listener != "agents":
            # it opens nothing but its run's calls
            raise CredentialRefused("wrong_listener")
        named = named_run(picked)
        if named is not None and (named.id != said.run_id or named.attempt not in {0, said.attempt}):
            raise CredentialRefused("run_header_differs")
        principal = await self._run_principal(said.run_id, said.attempt)
        if principal is None:
            raise CredentialRefused("run_unknown")
        own = tuple(dict.fromkeys((text, *run_tokens_in(picked))))
        return Identified(principal=principal, run=RunRef(said.run_id, said.attempt), own_tokens=own)


def _fetch(entry: Issuer, client: httpx.AsyncClient) -> Fetch:
    if entry.jwks_file is not None:
        return fetch_file(entry.jwks_file)
    return discover(client, entry.issuer) if entry.jwks_url is None else fetch_url(client, entry.jwks_url)
