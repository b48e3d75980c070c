"""What it costs to know who calls: `python -m benchmarks.identity` prints microseconds for each kind of credential.

In this process, without HTTP: what a call pays. `cached` is a token shown before, `new` one never seen (another `jti`
each time). Best of five rounds, so that a busy machine shows less; the spread is printed beside it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.identity.api_keys import new_key
from gateway.identity.authenticator import Authenticator
from tests.identity.authority import CONFIG, SECRET, bearer, claims, header, sign, sign_rsa, write_config
from tests.identity.test_bound_tokens import ASKED, bound, proof, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.call import Headers
    from policy.decision import Principal

ROUNDS: Final = 5
CALLS: Final = 400
_ROLES: Final = ["clerk", "reader", "auditor"]


class Runs:
    """Knows one run."""

    def __init__(self) -> None:
        self.principal: Principal | None = None

    async def of(self, run_id: str, attempt: int) -> tuple[Principal, Principal] | None:
        """Return who opened it."""
        del run_id, attempt
        return None if self.principal is None else (self.principal, self.principal)


async def microseconds(authenticator: Authenticator, rounds: Sequence[Sequence[Headers]]) -> tuple[float, float]:
    """Return the best and the worst of the rounds, for one identification."""
    found: list[float] = []
    for asked in rounds:
        began = time.perf_counter()
        for headers in asked:
            await authenticator.identify(headers, asked=ASKED)
        found.append((time.perf_counter() - began) / len(asked) * 1e6)
    return min(found), max(found)


def again(headers: Headers) -> list[list[Headers]]:
    """Return the same headers for every call."""
    return [[headers] * CALLS] * ROUNDS


async def measured(folder: Path) -> list[tuple[str, float, float]]:
    """Return a line for each kind of credential."""
    _, key, hashed = new_key()
    text = CONFIG.replace("        leeway: 30s", "        leeway: 30s\n        dpop: accept")
    text = text.replace("  acme:\n", "  acme:\n    api_keys_file: keys.yaml\n")
    entry = f"    hash: {hashed}\n    agent: billing\n    domain: acme\n"
    (folder / "keys.yaml").write_text(f"version: 1\nkeys:\n  {key.split('_')[1]}:\n{entry}", encoding="utf-8")
    runs = Runs()
    config = await asyncio.to_thread(write_config, folder, text)
    authenticator = await Authenticator.open(config, secrets=[SECRET], run_principal=runs.of)
    runs.principal = (await authenticator.identify(bearer(key))).principal

    def fresh(number: int) -> Headers:
        return bearer(sign(claims(jti=f"t-{number}", roles=_ROLES, user="ada@example.com")))

    def fresh_rsa(number: int) -> Headers:
        said = claims(iss="https://idp.example/other", jti=f"t-{number}")
        return bearer(sign_rsa(said, header(alg="RS256", kid="r")))

    token = bound()
    minted = authenticator.mint_run_token(run_id="r", attempt=1, expires=time.time() + 600)
    cases: list[tuple[str, Sequence[Sequence[Headers]]]] = [
        ("JWT ES256, new", [[fresh(one * CALLS + two) for two in range(CALLS)] for one in range(ROUNDS)]),
        ("JWT RS256 2048, new", [[fresh_rsa(one * CALLS + two) for two in range(CALLS)] for one in range(ROUNDS)]),
        ("JWT, cached", again(fresh(0))),
        ("JWT bound to a key, cached, with a new proof",
         [[shown(token, proof(token)) for _ in range(CALLS)] for _ in range(ROUNDS)]),
        ("API key", again(bearer(key))),
        ("run token", again(bearer(minted))),
    ]  # fmt: skip
    lines = [(name, *await microseconds(authenticator, rounds)) for name, rounds in cases]
    await authenticator.aclose()
    return lines


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="oncegate-identity-") as folder:
        for name, best, worst in asyncio.run(measured(Path(folder))):
            sys.stdout.write(f"{name:48} {best:8.1f} us   (worst round {worst:.1f})\n")


if __name__ == "__main__":
    main()
