"""Requests and answers as Hypothesis makes them, in the form that converting there and back leaves as it is."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from gateway.conversion.carried import Tree

Trees = st.SearchStrategy[Tree]
Lists = st.SearchStrategy[list[Tree]]

WORDS: Final = st.text(min_size=1, max_size=20)
NAMES: Final = st.text("abcXYZ019_-", min_size=1, max_size=12)
PNG: Final = "iVBORw0KGgo="
_SCALARS: st.SearchStrategy[object] = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | WORDS
_JSON: st.SearchStrategy[object] = _SCALARS | st.lists(_SCALARS, max_size=3) | st.dictionaries(WORDS, _SCALARS)
OBJECTS: Trees = st.dictionaries(WORDS, _JSON, max_size=3)


def tree(**fields: object) -> Tree:
    """Return an object with these fields."""
    return fields


def text(said: str) -> Tree:
    return tree(type="text", text=said)


_TEXT: Trees = WORDS.map(text)
_IMAGES: Trees = st.sampled_from([
    tree(type="image", source=tree(type="base64", media_type="image/png", data=PNG)),
    tree(type="image", source=tree(type="url", url="https://example.com/a.png")),
    tree(type="document", source=tree(type="base64", media_type="application/pdf", data=PNG), title="a.pdf"),
    tree(type="document", source=tree(type="text", media_type="text/plain", data="wörds")),
])  # fmt: skip
#: Two texts at least: one alone is a text and no list.
_SEVERAL: Lists = st.lists(_TEXT, min_size=2, max_size=3)
_PARTS: Lists = _SEVERAL | st.lists(_TEXT | _IMAGES, min_size=2, max_size=3)
_NONE: Lists = st.builds(list[Tree])


@st.composite
def _tool_turns(draw: st.DrawFn) -> list[Tree]:
    """An assistant's tool calls, with text or without, their results, with more said or not, and an answer."""
    ids = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    uses = [tree(type="tool_use", id=one, name=draw(NAMES), input=draw(OBJECTS)) for one in ids]
    results = [tree(type="tool_result", tool_use_id=one, content=draw(WORDS | _SEVERAL)) for one in ids]
    said, more = draw(_NONE | _SEVERAL), draw(_NONE | _SEVERAL)
    return [
        tree(role="assistant", content=[*said, *uses]), tree(role="user", content=[*results, *more]),
        tree(role="assistant", content="so"),
    ]  # fmt: skip


@st.composite
def _plain_turns(draw: st.DrawFn) -> list[Tree]:
    if draw(st.booleans()):
        return [tree(role="user", content=draw(WORDS | _PARTS))]
    return [tree(role="assistant", content=draw(WORDS | _SEVERAL))]


@st.composite
def _tools(draw: st.DrawFn) -> list[Tree]:
    told = tree(name=draw(NAMES), input_schema=tree(type="object", properties=tree()))
    if draw(st.booleans()):
        told |= {"description": draw(WORDS), "strict": draw(st.booleans())}
    return [told] * draw(st.integers(1, 2))


_CHOICES: Trees = st.sampled_from([
    tree(type="auto"), tree(type="any"), tree(type="none"), tree(type="tool", name="f"),
    tree(type="auto", disable_parallel_tool_use=True), tree(type="any", disable_parallel_tool_use=True),
])  # fmt: skip


@st.composite
def messages_requests(draw: st.DrawFn) -> Tree:
    """A messages request whose every field can be carried."""
    turns = [one for turn in draw(st.lists(_plain_turns() | _tool_turns(), min_size=1, max_size=4)) for one in turn]
    request = tree(model=draw(NAMES), max_tokens=draw(st.integers(1, 9999)), messages=turns)
    optional: dict[str, st.SearchStrategy[object]] = {
        "system": WORDS | _SEVERAL, "temperature": st.sampled_from([0, 1]), "top_p": st.just(1),
        "stop_sequences": st.lists(WORDS, min_size=1, max_size=3), "metadata": st.builds(tree, user_id=WORDS),
        "stream": st.booleans(),
    }  # fmt: skip
    request |= {name: draw(values) for name, values in optional.items() if draw(st.booleans())}
    if draw(st.booleans()):
        request["tools"] = draw(_tools())
        if draw(st.booleans()):
            request["tool_choice"] = draw(_CHOICES)
    config = tree(format=tree(type="json_schema", schema=tree(type="object"))) if draw(st.booleans()) else tree()
    effort = draw(st.sampled_from([None, "none", "low", "medium", "high", "xhigh", "max"]))
    if effort == "none":
        request["thinking"] = tree(type="disabled")
    elif effort is not None:
        request["thinking"], config["effort"] = tree(type="adaptive"), effort
    return {**request, "output_config": config} if config else request


@st.composite
def answers(draw: st.DrawFn) -> Tree:
    """A message that the chat protocol has all words for."""
    content: list[Tree] = [text(draw(WORDS))] if draw(st.booleans()) else []
    if draw(st.booleans()):
        content.insert(0, tree(type="thinking", thinking=draw(WORDS), signature=""))
    ids = draw(st.lists(NAMES, max_size=3, unique=True))
    content += [tree(type="tool_use", id=one, name=draw(NAMES), input=draw(OBJECTS)) for one in ids]
    tokens = st.integers(0, 10_000)
    usage = tree(
        input_tokens=draw(tokens), output_tokens=draw(tokens), cache_read_input_tokens=draw(tokens),
        cache_creation_input_tokens=draw(tokens),
    )  # fmt: skip
    stop = "tool_use" if ids else draw(st.sampled_from(["end_turn", "max_tokens"]))
    return tree(
        id="msg_1", type="message", role="assistant", model="m", content=content, stop_reason=stop,
        stop_sequence=None, stop_details=None, usage=usage,
    )  # fmt: skip
