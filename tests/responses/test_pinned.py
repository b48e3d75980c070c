"""What a provider keeps is asked of that provider alone: of no other model, and of none that stands in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from tests.emulator.faults import Emulator, plain
from tests.emulator.openai import answering, error, message, response
from tests.gateway.running import RunningGateway
from tests.responses.clients import sdk

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.requirement("RESP-13")

MODELS = """models:
  ours: {provider: openai_compatible, url: "%(ours)s/v1", domain: acme, fallback: [theirs]}
  small: {provider: openai_compatible, url: "%(ours)s/v1", domain: acme}
  theirs: {provider: openai_compatible, url: "%(theirs)s/v1", domain: acme}
"""
POLICY = "p, role:clerk, acme, model/*, call, -, allow, redact=off\ng, agent:billing, role:clerk, acme\n"


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[Emulator, Emulator]]:
    both = Emulator(script=answering(response())), Emulator(script=answering(response()))
    yield both
    for one in both:
        one.close()


@pytest.fixture(scope="module")
def gateway(providers: tuple[Emulator, Emulator], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("pinned"), "http://unused.example", inspects=False)
    text = running.config.read_text(encoding="utf-8")
    models = MODELS % {"ours": providers[0].url, "theirs": providers[1].url}
    head, tail = text.partition("models:\n")[0], text.partition("redaction:")[2]
    running.config.write_text(f"{head}{models}redaction:{tail}", encoding="utf-8")
    running.write_policies(POLICY)
    running.start()
    yield running
    running.stop()


def test_a_conversation_is_continued_where_it_is_kept_and_nowhere_else(
    gateway: RunningGateway, providers: tuple[Emulator, Emulator]
) -> None:
    ours, theirs = providers
    ours.script = answering(response(message("first"), name="resp_kept"))
    client = sdk(gateway)
    kept = client.responses.create(model="ours", input="hi")
    assert kept.output_text == "first"
    # another model of the same provider has it
    assert client.responses.create(model="small", input="go on", previous_response_id=kept.id).output_text == "first"
    with pytest.raises(openai.BadRequestError, match="provider"):
        client.responses.create(model="theirs", input="go on", previous_response_id=kept.id)
    assert theirs.received == []


def test_no_model_of_another_provider_stands_in_for_a_call_that_names_what_the_first_keeps(
    gateway: RunningGateway, providers: tuple[Emulator, Emulator]
) -> None:
    ours, theirs = providers
    ours.script = answering(response(message("first"), name="resp_stay"))
    theirs.script = answering(response(message("from another"), name="resp_other"))
    client = sdk(gateway)
    kept = client.responses.create(model="ours", input="hello")
    ours.script = lambda _: plain(error("down"), status=500)
    assert client.responses.create(model="ours", input="anew").output_text == "from another"
    asked = len(theirs.received)
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="ours", input="go on", previous_response_id=kept.id)
    assert len(theirs.received) == asked
