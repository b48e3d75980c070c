"""The exception classes of the official SDKs, each raised by its cause. A class that is new there fails here."""

from __future__ import annotations

import inspect
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import anthropic
import openai
import pytest
from anthropic import Anthropic
from anthropic._error_classes import ERROR_CLASSES  # the SDK's own table; it has no public name
from openai import OpenAI
from pydantic import BaseModel

from tests.emulator.faults import Answer, plain, streamed
from tests.gateway.model_upstream import chunks_of, completion
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.models.conftest import Stand

pytestmark = pytest.mark.requirement("MOD-05")

#: Raised by the status of an answer, the provider's own words and headers kept.
OPENAI_STATUSES: Final = {
    400: openai.BadRequestError, 402: openai.APIStatusError, 403: openai.PermissionDeniedError,
    404: openai.NotFoundError, 409: openai.ConflictError, 422: openai.UnprocessableEntityError,
    429: openai.RateLimitError, 500: openai.InternalServerError, 503: openai.InternalServerError,
}  # fmt: skip
#: Raised otherwise, by the tests below.
OPENAI_CAUSED: Final = frozenset({
    openai.AuthenticationError, openai.APIConnectionError, openai.APITimeoutError, openai.APIError,
    openai.APIResponseValidationError, openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError,
})  # fmt: skip
#: No answer of any server raises them: bases, the client's own settings, protocols that are not served.
OPENAI_OTHER: Final = frozenset({
    "OpenAIError", "OAuthError", "SubjectTokenProviderError", "_AmbiguousModuleClientUsageError",
    "WebSocketConnectionClosedError", "WebSocketQueueFullError",
})  # fmt: skip
ANTHROPIC_CAUSED: Final = frozenset({
    anthropic.AuthenticationError, anthropic.APIConnectionError, anthropic.APITimeoutError,
    anthropic.APIResponseValidationError, anthropic.APIStatusError, anthropic.InternalServerError,
})  # fmt: skip
ANTHROPIC_OTHER: Final = frozenset({
    "AnthropicError", "APIError", "APIWebhookValidationError", "CredentialsError", "IdentityTokenFileError",
    "WorkloadIdentityError", "RetryableError",
})  # fmt: skip


class Weather(BaseModel):
    city: str


@pytest.fixture(scope="module")
def gpt(stand: Stand) -> Iterator[OpenAI]:
    with closing(OpenAI(base_url=f"{stand.gates[0].url}/v1", api_key=stand.key, max_retries=0)) as client:
        yield client


@pytest.fixture(scope="module")
def claude(stand: Stand) -> Iterator[Anthropic]:
    with closing(Anthropic(base_url=stand.gates[0].url, api_key=stand.key, max_retries=0)) as client:
        yield client


@pytest.fixture(autouse=True)
def fresh(stand: Stand) -> None:
    stand.provider.fresh()


def chat(client: OpenAI) -> object:
    return client.chat.completions.create(model="one", messages=[{"role": "user", "content": "hi"}])


def respond(client: OpenAI) -> object:
    return client.responses.create(model="one", input="hi")


def message(client: Anthropic) -> object:
    return client.messages.create(model="claude", max_tokens=9, messages=[{"role": "user", "content": "hi"}])


def test_every_class_of_both_sdks_has_a_cause_here_or_is_one_that_no_answer_raises() -> None:
    theirs = {one for _, one in inspect.getmembers(openai, inspect.isclass) if issubclass(one, openai.OpenAIError)}
    caused = {*OPENAI_STATUSES.values(), *OPENAI_CAUSED}
    assert {one.__name__ for one in theirs - caused} <= OPENAI_OTHER
    theirs_too = {
        one for _, one in inspect.getmembers(anthropic, inspect.isclass) if issubclass(one, anthropic.AnthropicError)
    }
    known = {*ERROR_CLASSES.values(), *ANTHROPIC_CAUSED}
    # kept by the SDK under names of before, raised no more
    older = {"DeadlineExceededError", "RequestTooLargeError"}
    assert {one.__name__ for one in theirs_too - known} <= ANTHROPIC_OTHER | older


@pytest.mark.parametrize("asking", [chat, respond], ids=["chat", "responses"])
def test_openais_classes_are_raised_by_the_providers_status(
    stand: Stand, gpt: OpenAI, asking: Callable[[OpenAI], object]
) -> None:
    for status, expected in OPENAI_STATUSES.items():
        error = {"error": {"message": f"why {status}", "type": "t", "param": "p", "code": "c"}}
        stand.provider.faulty = lambda _api, _received, error=error, status=status: plain(error, status=status)
        with pytest.raises(openai.APIStatusError, match=f"why {status}") as caught:
            asking(gpt)
        assert type(caught.value) is expected
        assert (caught.value.code, caught.value.param, caught.value.type) == ("c", "p", "t")


def test_anthropics_classes_are_raised_by_the_providers_status_and_code(stand: Stand, claude: Anthropic) -> None:
    for (status, code), expected in ERROR_CLASSES.items():
        details = {} if code is None else {"details": {"error_code": code}}
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": f"why {status}", **details}}
        stand.provider.faulty = lambda _api, _received, error=error, status=status: plain(error, status=status)
        with pytest.raises(anthropic.APIStatusError) as caught:
            message(claude)
        if status == 401:  # the gateway's own credential is no matter of the agent's
            assert type(caught.value) is anthropic.InternalServerError
            continue
        assert type(caught.value) is expected, (status, code)
        assert caught.value.api_message == f"why {status}"


def test_a_gateway_that_refuses_is_slow_or_gone_raises_as_a_provider_would(
    stand: Stand, gpt: OpenAI, claude: Anthropic
) -> None:
    unknown = "og_nobody_aaaaaaaaaaaaaaaaaaaaaaaa"
    with pytest.raises(openai.AuthenticationError):
        chat(gpt.with_options(api_key=unknown))
    with pytest.raises(anthropic.AuthenticationError):
        message(claude.with_options(api_key=unknown))
    on = threading.Event()
    stand.provider.faulty = lambda api, received: replace(api.whole(received), hold=on)
    with pytest.raises(openai.APITimeoutError):
        chat(gpt.with_options(timeout=0.3))
    with pytest.raises(anthropic.APITimeoutError):
        message(claude.with_options(timeout=0.3))
    on.set()
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(openai.APIConnectionError) as lost:
        chat(gpt.with_options(base_url=nowhere))
    with pytest.raises(anthropic.APIConnectionError) as lost_too:
        message(claude.with_options(base_url=nowhere))
    assert (type(lost.value), type(lost_too.value)) == (openai.APIConnectionError, anthropic.APIConnectionError)


def test_an_error_within_a_stream_raises_the_sdks_base_class_with_the_gateways_words(
    stand: Stand, gpt: OpenAI, claude: Anthropic
) -> None:
    stand.provider.faulty = lambda api, _: streamed(api.events[: api.half])
    with pytest.raises(openai.APIError, match="did not answer to the end") as caught:
        list(gpt.chat.completions.create(model="one", messages=[{"role": "user", "content": "hi"}], stream=True))
    assert type(caught.value) is openai.APIError
    with pytest.raises(openai.APIError, match="did not answer to the end"):
        list(gpt.responses.create(model="one", input="hi", stream=True))
    asked = claude.messages.stream(model="claude", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(anthropic.APIStatusError, match="did not answer to the end"), asked as stream:
        stream.until_done()


def test_ends_that_parsing_stumbles_over_raise_their_classes(stand: Stand, gpt: OpenAI) -> None:
    ends = {"length": openai.LengthFinishReasonError, "content_filter": openai.ContentFilterFinishReasonError}
    for reason, expected in ends.items():
        whole = completion('{"city": "Ul')
        choice = {"index": 0, "message": {"role": "assistant", "content": '{"city": "Ul'}, "finish_reason": reason}
        stand.provider.faulty = lambda _api, _received, whole=whole | {"choices": [choice]}: plain(whole)
        with pytest.raises(expected):
            gpt.chat.completions.parse(
                model="one", messages=[{"role": "user", "content": "hi"}], response_format=Weather
            )
        events = b"".join(f"data: {one}\n\n".encode() for one in chunks_of(['{"city": "Ul'], finish=reason))
        stand.provider.faulty = lambda _api, _received, events=events: streamed(events)
        asked = gpt.chat.completions.stream(
            model="one", messages=[{"role": "user", "content": "hi"}], response_format=Weather
        )
        with pytest.raises(expected), asked as stream:
            stream.until_done()


def test_an_answer_of_another_form_is_passed_on_for_the_sdk_to_judge(stand: Stand) -> None:
    stand.provider.faulty = lambda _api, _received: Answer(body=b'{"choices": "none", "content": 5, "role": 7}')
    url, key = stand.gates[0].url, stand.key
    strict = OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, _strict_response_validation=True)
    with closing(strict), pytest.raises(openai.APIResponseValidationError):
        chat(strict)
    strict_too = Anthropic(base_url=url, api_key=key, max_retries=0, _strict_response_validation=True)
    with closing(strict_too), pytest.raises(anthropic.APIResponseValidationError):
        message(strict_too)
