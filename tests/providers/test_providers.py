"""How requests to each kind of provider are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import pytest

from gateway.call import Refusal
from gateway.config import Model
from gateway.providers.chosen import provider_of
from gateway.providers.target import ModelTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Headers, Upstream
    from gateway.providers.provider import Dialect

KEY = "k"
Named = Literal["openai", "anthropic", "azure_openai", "openai_compatible"]


def target(
    provider: Named, *, url: str = "https://h/v1", api_version: str | None = None,
    credential: Callable[[], str | None] = lambda: KEY,
) -> ModelTarget:  # fmt: skip
    model = Model(name="m", provider=provider, url=url, api_version=api_version)
    return ModelTarget(
        name="m", domain="vendors", provider=provider_of(model), upstream=cast("Upstream", None),
        upstream_model="org/m 1", credential=credential, seconds_max=30,
    )  # fmt: skip


def written(one: ModelTarget, dialect: Dialect, *, headers: Headers = (), below: str = "") -> tuple[str, Headers]:
    request = one.request(dialect, b"{}", headers=headers, key="step", below=below)
    return request.path, request.headers[1:]


BEARER = ((b"authorization", b"Bearer k"), (b"idempotency-key", b"step"))
AZURE = ((b"api-key", b"k"),)
ANTHROPIC = ((b"anthropic-version", b"2023-06-01"), (b"x-api-key", b"k"))


@pytest.mark.requirement("PROV-01")
@pytest.mark.parametrize(
    ("one", "dialect", "path", "headers"),
    [
        (target("openai", url="https://h/v1"), "openai_chat", "/chat/completions", BEARER),
        (target("openai", url="https://h/v1"), "openai_responses", "/responses", BEARER),
        (target("openai_compatible", url="https://h/v1"), "openai_embeddings", "/embeddings", BEARER),
        (target("azure_openai", url="https://h/openai/v1/"), "openai_chat", "/chat/completions", AZURE),
        (target("azure_openai", url="https://h/openai/v1", api_version="preview"), "openai_responses",
         "/responses?api-version=preview", AZURE),
        (target("azure_openai", url="https://h/openai", api_version="2024-10-21"), "openai_chat",
         "/deployments/org%2Fm%201/chat/completions?api-version=2024-10-21", AZURE),
        (target("azure_openai", url="https://h/openai", api_version="2024-10-21"), "openai_embeddings",
         "/deployments/org%2Fm%201/embeddings?api-version=2024-10-21", AZURE),
        (target("azure_openai", url="https://h/openai", api_version="2025-04-01-preview"), "openai_responses",
         "/responses?api-version=2025-04-01-preview", AZURE),
        (target("anthropic", url="https://h/v1"), "anthropic_messages", "/messages", ANTHROPIC),
    ],
)  # fmt: skip
def test_a_request_is_written_as_the_provider_wants_it(
    one: ModelTarget, dialect: Dialect, path: str, headers: Headers
) -> None:
    assert written(one, dialect) == (path, headers)


@pytest.mark.requirement("PROV-01")
def test_what_stands_below_an_endpoint_comes_before_the_query() -> None:
    azure = target("azure_openai", url="https://h/openai", api_version="v")
    assert written(azure, "openai_responses", below="/resp_1/cancel")[0] == "/responses/resp_1/cancel?api-version=v"


@pytest.mark.requirement("PROV-01")
def test_a_clients_own_header_takes_the_place_of_the_one_always_sent() -> None:
    own = ((b"anthropic-version", b"2024-01-01"),)
    assert written(target("anthropic"), "anthropic_messages", headers=own)[1] == (*own, (b"x-api-key", b"k"))


@pytest.mark.requirement("PROV-02")
def test_an_endpoint_the_provider_has_not_is_refused_with_what_it_speaks() -> None:
    with pytest.raises(Refusal) as caught:
        target("anthropic").demand("openai_chat")
    assert caught.value.status == 400
    assert "`openai_chat`; its provider speaks `anthropic_messages`" in caught.value.message


@pytest.mark.requirement("PROV-03")
def test_the_key_is_read_for_each_request() -> None:
    keys = iter(["old", "new", None])
    one = target("openai", credential=lambda: next(keys))
    shown = [written(one, "openai_chat")[1] for _ in range(3)]
    assert [dict(headers).get(b"authorization") for headers in shown] == [b"Bearer old", b"Bearer new", None]
