"""What only shows when the settings are seen together."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from gateway.config.likeness import skeleton
from gateway.config.problems import nearest, shown
from gateway.config.types import DEFAULT_DOMAIN, WILDCARD_HOSTS
from policy.resources import UnusableName, compile_pattern, resource_name

#: An upstream's name has two parts: `model/<name>`, `mcp/<server>`.
_UPSTREAM_PARTS = 2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.reading import Reading
    from gateway.config.root import Config
    from gateway.config.types import Issuer, TrustDomain


def verify(config: Config, reading: Reading) -> None:
    """Note every contradiction of `config` in `reading`."""
    if not config.models and not config.mcp_servers and reading.usable("models") and reading.usable("mcp_servers"):
        reading.refuse_at((), "nothing to govern: at least one of `models` and `mcp_servers` is needed")
    _domains(config, reading)
    _issuers(config.trust_domains, reading)
    _workloads(config, reading)
    _exposure(config, reading)
    _verify_calls(config, reading)
    _server_names(config, reading)
    _budgets(config, reading)
    _retention(config, reading)
    if config.state_password is not None and config.state.postgres is None and reading.usable("state"):
        reading.refuse_at(("state_password",), "only a PostgreSQL `state` has a password")
    _verify_resilience(config, reading)
    if config.listen == config.admin and config.listen.port:
        reading.refuse_at(("admin",), "`listen` and `admin` need different addresses")


def _domains(config: Config, reading: Reading) -> None:
    known = {*config.trust_domains, DEFAULT_DOMAIN}
    upstreams = [("models", name, model.domain) for name, model in config.models.items()]
    upstreams += [("mcp_servers", name, server.domain) for name, server in config.mcp_servers.items()]
    upstreams += [("agents", name, agent.domain) for name, agent in config.agents.items()]
    for section, name, domain in upstreams:
        if domain not in known:
            message = f"trust domain {shown(domain)} is not among `trust_domains`{nearest(domain, known)}"
            reading.refuse_at((section, name, "domain"), message)


def _retention(config: Config, reading: Reading) -> None:
    """Refuse to forget labels that still count: they stand on the rows of calls, and go with them."""
    kept, needed = config.retention, config.runs.label_ttl_seconds
    for name, seconds in (
        ("finished", kept.finished_seconds), ("failed", kept.failed_seconds), ("calls", kept.calls_seconds),
        ("keys", kept.keys_seconds),
    ):  # fmt: skip
        if seconds < needed and reading.usable("retention") and reading.usable("runs"):
            message = "labels would be forgotten while they count; expected no less than `runs.label_ttl`"
            reading.refuse_at(("retention", name), message)


def _server_names(config: Config, reading: Reading) -> None:
    """Refuse servers whose names could be taken for one another: a tool's name says whose it is (G19)."""
    seen: dict[str, str] = {}
    for name in config.mcp_servers:
        other = seen.setdefault(skeleton(name), name)
        if other != name:
            message = f"{shown(name)} looks like {shown(other)}; name one of them differently"
            reading.refuse_at(("mcp_servers", name), message)


def _verify_resilience(config: Config, reading: Reading) -> None:
    for pattern, entry in config.resilience.items():
        place = ("resilience", pattern)
        try:
            compiled = compile_pattern(pattern)
        except UnusableName as error:
            reading.refuse_at(place, f"{shown(pattern)} is no resource pattern: {error}")
            continue
        # `mcp/<server>/tool/x` is a part of an upstream
        if len(compiled.segments) > _UPSTREAM_PARTS:
            for key, said in (("breaker", entry.breaker), ("bulkhead", entry.bulkhead)):
                if said is not None:
                    message = f"`{key}` belongs to a whole upstream; write it at `mcp/<server>/**` or `model/<name>`"
                    reading.refuse_at((*place, key), message)
        if pattern.split("/")[0] not in {"model", "*", "**"}:
            if entry.cache is not None:
                reading.refuse_at((*place, "cache"), "only models' answers are given again, never a tool's")
            if entry.hedge is not None:
                reading.refuse_at((*place, "hedge"), "only models are asked twice at a time, never a tool")
    _verify_fallbacks(config, reading)


def _verify_fallbacks(config: Config, reading: Reading) -> None:
    for model in config.models.values():
        for name in model.fallback:
            where = ("models", model.name, "fallback")
            if name == model.name:
                reading.refuse_at(where, f"{shown(name)} is the model itself")
            elif name not in config.models and reading.usable("models", name):
                reading.refuse_at(where, f"{shown(name)} is no configured model{nearest(name, config.models)}")


def _verify_calls(config: Config, reading: Reading) -> None:
    for server in config.mcp_servers.values():
        for tool in server.tools.values():
            if tool.verify is None:
                continue
            place = ("mcp_servers", server.name, "tools", tool.name, "verify")
            asked = server.tools.get(tool.verify.tool)
            if asked is None or asked.effect != "safe":
                message = f"{shown(tool.verify.tool)} must be a tool of this server with `effect: safe`"
                reading.refuse_at((*place, "tool"), f"{message}{nearest(tool.verify.tool, server.tools)}")
            if tool.effect != "once":
                reading.refuse_at(place, "only a `once` call is held in doubt; a repeatable one is asked again")


def _budgets(config: Config, reading: Reading) -> None:
    """Refuse budgets that could not be kept: of nobody known, or of money where prices are not known."""
    seen: set[str] = set()
    domains = {*config.trust_domains, DEFAULT_DOMAIN}
    unpriced = [name for name, model in config.models.items() if model.price is None]
    for index, budget in enumerate(config.budgets):
        place = ("budgets", index, "subject")
        if budget.name in seen:
            reading.refuse_at(
                place, f"a budget for {shown(budget.subject)} in this window stands here twice; join them"
            )
        seen.add(budget.name)
        kind, _, rest = budget.subject.partition(":")
        domain = rest.partition("/")[0]
        if budget.of_callers and kind != "run" and domain not in {"*", *domains}:
            message = f"trust domain {shown(domain)} is not among `trust_domains`{nearest(domain, domains)}"
            reading.refuse_at(place, message)
        pattern = None
        if not budget.of_callers and budget.subject != "*":
            try:
                pattern = compile_pattern(budget.subject)
            except UnusableName as error:
                reading.refuse_at(place, f"{shown(budget.subject)} is no resource pattern: {error}")
        if budget.usd is not None and budget.of_models:
            for name in unpriced:
                if pattern is None or pattern.matches(resource_name("model", name)):
                    message = f"model {shown(name)} has no `price`, so nobody can say what is left of this budget"
                    reading.refuse_at(("budgets", index, "usd"), message)


def _issuers(domains: Mapping[str, TrustDomain], reading: Reading) -> None:
    seen: dict[str, str] = {}
    for domain in domains.values():
        if not reading.usable("trust_domains", domain.name, "issuers"):
            continue
        for index, entry in enumerate(domain.issuers):
            place = ("trust_domains", domain.name, "issuers", index, "issuer")
            if entry.issuer in seen:
                message = f"issuer {shown(entry.issuer)} already speaks for trust domain `{seen[entry.issuer]}`"
                reading.refuse_at(place, f"{message}; an issuer belongs to one entry")
            seen.setdefault(entry.issuer, domain.name)
        for (_, first), (second_index, second) in combinations(enumerate(domain.issuers), 2):
            shared = _shared_name(first, second)
            if shared is not None and not (first.shared_names and second.shared_names):
                place = ("trust_domains", domain.name, "issuers", second_index, "agents")
                message = f"agents {shown(shared)} may be named by issuer {shown(first.issuer)} as well"
                reading.refuse_at(place, f"{message}; list separate `agents`, or say `shared_names: true` in both")


def _workloads(config: Config, reading: Reading) -> None:
    """Refuse SPIFFE trust domains of two domains, and proxies that vouch for nobody."""
    seen: dict[str, str] = {}
    for domain in config.trust_domains.values():
        if domain.spiffe is not None:
            if domain.issuers and not (domain.spiffe.shared_names and all(one.shared_names for one in domain.issuers)):
                place = ("trust_domains", domain.name, "spiffe")
                message = (
                    "its workloads and the domain's issuers may name the same agents; say `shared_names: true` in all"
                )
                reading.refuse_at(place, message)
            other = seen.setdefault(domain.spiffe.trust_domain, domain.name)
            if other != domain.name:
                place = ("trust_domains", domain.name, "spiffe", "trust_domain")
                reading.refuse_at(place, f"its workloads are agents of trust domain `{other}` already")
    named = {name: one.spiffe for name, one in config.trust_domains.items() if one.spiffe is not None}
    issued = [name for name, one in named.items() if one.authorities_file is not None]
    unused = [name for name in issued if named[name].bundle_endpoint_id is None]
    asked = config.tls is not None and config.tls.client_certificates != "none"
    if unused and not asked and reading.usable("tls"):
        place = ("trust_domains", unused[0], "spiffe", "authorities_file")
        reading.refuse_at(place, "nobody is asked for a certificate: say so in `tls: client_certificates`")
    if asked and not issued and reading.usable("trust_domains"):
        message = "no certificate could be verified: name `authorities_file` in the `spiffe` of a trust domain"
        reading.refuse_at(("tls", "client_certificates"), message)
    for name, proxy in config.proxies.items():
        for domain in proxy.domains:
            known = config.trust_domains.get(domain)
            if known is None or (known.spiffe is None and not known.issuers):
                message = f"trust domain {shown(domain)} has no `spiffe` and no `issuers`"
                reading.refuse_at(("proxies", name, "domains"), message)


def _shared_name(first: Issuer, second: Issuer) -> str | None:
    for one in first.agents:
        for other in second.agents:
            if patterns_meet(one, other):
                return other if one == "*" else one
    return None


def patterns_meet(one: str, other: str) -> bool:
    """Return whether some name matches both patterns; `*` stands for any characters, also none."""
    reachable = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        left, right = waiting.pop()
        if left == len(one) and right == len(other):
            return True
        for step in _steps(one[left : left + 1], other[right : right + 1]):
            place = (left + step[0], right + step[1])
            if place not in reachable:
                reachable.add(place)
                waiting.append(place)
    return False


def _steps(left: str, right: str) -> list[tuple[int, int]]:
    steps: list[tuple[int, int]] = []
    if left == "*":
        # the star ends here, or takes the other side's character
        steps.append((1, 0))
        if right:
            steps.append((0, 1))
    if right == "*":
        steps.append((0, 1))
        if left:
            steps.append((1, 0))
    if left and left == right:
        steps.append((1, 1))
    return steps


def _exposure(config: Config, reading: Reading) -> None:
    exposed = [key for key, address in (("listen", config.listen), ("admin", config.admin)) if not address.loopback]
    if not exposed:
        return
    place = (exposed[0],)
    if config.development:
        reading.refuse_at(("development",), f"`development: true` admits anyone; `{exposed[0]}` must be loopback then")
    if not reading.usable("trust_domains"):
        return
    if not any(domain.has_credentials for domain in config.trust_domains.values()):
        message = "needs a trust domain with `issuers` or `api_keys_file` when it is not loopback"
        reading.refuse_at(place, f"`{exposed[0]}` {message}")
    holds_upstreams = {model.domain for model in config.models.values()}
    holds_upstreams |= {server.domain for server in config.mcp_servers.values()}
    for name, domain in config.trust_domains.items():
        if not domain.has_credentials and name not in holds_upstreams:
            message = f"trust domain {shown(name)} has neither credentials nor upstreams"
            reading.refuse_at(("trust_domains", name), f"{message}; give it `issuers` or `api_keys_file`")
    if config.listen.host in WILDCARD_HOSTS and ("public_url",) not in reading.lines:
        reading.refuse_at(place, "`public_url` is needed when `listen` is every address")
