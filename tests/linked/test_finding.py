"""Which URLs of a request its provider would fetch."""

from __future__ import annotations

import json

import pytest

from gateway.providers.linked import linked

URL = "https://files.example/x"
_CITED = {"type": "web_search_result", "url": URL, "title": "t", "encrypted_content": "e"}
_SCHEMA = {"type": "object", "properties": {"image_url": {"type": "string", "default": URL}}}


def found(tree: object) -> list[str]:
    return [f"{place} {host}" for place, host in linked(json.dumps(tree).encode(), tree)]


def said(*parts: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def put(*items: object) -> dict[str, object]:
    return {"input": list(items)}


@pytest.mark.requirement("LINK-01")
@pytest.mark.parametrize(
    ("tree", "place"),
    [
        # chat, as OpenAI, Mistral, vLLM, OpenRouter and Qwen take it
        (said({"type": "image_url", "image_url": {"url": URL}}), "/messages/0/content/0/image_url/url"),
        (said({"type": "image_url", "image_url": URL}), "/messages/0/content/0/image_url"),
        (said({"type": "video_url", "video_url": {"url": URL}}), "/messages/0/content/0/video_url/url"),
        (said({"type": "document_url", "document_url": URL}), "/messages/0/content/0/document_url"),
        (said({"type": "file", "file": {"filename": "x", "file_data": URL}}), "/messages/0/content/0/file/file_data"),
        (said({"type": "input_audio", "input_audio": {"data": URL}}), "/messages/0/content/0/input_audio/data"),
        (said({"type": "image", "url": URL}), "/messages/0/content/0/url"),
        (said({"type": "image", "image": URL}), "/messages/0/content/0/image"),
        (said({"type": "video", "video": [URL]}), "/messages/0/content/0/video/0"),
        (said({"type": "image_url", "image_url": [URL]}), "/messages/0/content/0/image_url/0"),
        ({"x/y~z": {"image_url": URL}}, "/x~1y~0z/image_url"),
        # messages
        (said({"type": "image", "source": {"type": "url", "url": URL}}), "/messages/0/content/0/source/url"),
        (said({"type": "tool_result", "content": [{"type": "document", "source": {"type": "url", "url": URL}}]}),
         "/messages/0/content/0/content/0/source/url"),
        # responses
        (put({"role": "user", "content": [{"type": "input_image", "image_url": URL}]}),
         "/input/0/content/0/image_url"),
        (put({"role": "user", "content": [{"type": "input_file", "file_url": URL}]}), "/input/0/content/0/file_url"),
        (put({"type": "function_call_output", "output": [{"type": "input_image", "image_url": URL}]}),
         "/input/0/output/0/image_url"),
        (put({"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": URL}}),
         "/input/0/output/image_url"),
        ({"tools": [{"type": "image_generation", "input_image_mask": {"image_url": URL}}]},
         "/tools/0/input_image_mask/image_url"),
        ({"prompt": {"variables": {"x": {"type": "input_file", "file_url": URL}}}}, "/prompt/variables/x/file_url"),
    ],
)  # fmt: skip
def test_a_url_the_provider_would_fetch_is_found_with_its_host(tree: object, place: str) -> None:
    assert found(tree) == [f"{place} files.example"]


@pytest.mark.requirement("LINK-01")
@pytest.mark.parametrize(
    "tree",
    [
        said({"type": "text", "text": f"see {URL}"}),
        said({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
        said({"type": "image", "source": {"type": "base64", "data": "AAAA"}}),
        said({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Subject: hi"}}),
        said({"type": ["image"], "url": URL}),
        # what was found or cited earlier
        said({"type": "web_search_tool_result", "content": [_CITED]}),
        said({"type": "search_result", "source": URL, "title": "t", "content": []}),
        put({"role": "assistant", "content": [{"type": "output_text", "annotations": [
            {"type": "url_citation", "url": URL}]}]}),
        put({"type": "web_search_call", "action": {"type": "open_page", "url": URL}}),
        said({"type": "file", "file": {"file_id": "file-1"}}), said({"type": "audio", "audio": {"id": "a"}}),
        # the agent's own: schemas, arguments, examples, notes
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": _SCHEMA}}]},
        {"tools": [{"name": "f", "input_schema": _SCHEMA, "input_examples": [{"image_url": URL}]}]},
        said({"type": "tool_use", "name": "f", "input": {"image_url": URL}}),
        put({"type": "function_call", "arguments": json.dumps({"image_url": URL})}),
        {"metadata": {"image_url": URL}}, {"text": {"format": {"schema": _SCHEMA}}},
        # a connector is a resource of its own kind
        {"tools": [{"type": "mcp", "server_url": URL}]}, {"mcp_servers": [{"type": "url", "url": URL}]},
    ],
)  # fmt: skip
def test_what_only_tells_a_url_fetches_nothing(tree: object) -> None:
    assert found(tree) == []


@pytest.mark.requirement("LINK-01")
@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("HTTPS://Files.Example/x", ""), ("https://Files.Example:443/x", "files.example"), (" https://a.example", ""),
        ("http://a.example:8080", "a.example:8080"), ("https://good.example@evil.example/", ""),
        ("https://evil.example\\@good.example", ""), ("https:/a.example", ""), ("https:a.example", ""),
        ("gs://bucket/x", "-"), ("s3://bucket/x", "-"), ("file:///etc/passwd", "-"), ("https://\u0433.example", ""),
    ],
)  # fmt: skip
def test_a_host_is_read_in_one_way_or_not_at_all(url: str, host: str) -> None:
    assert found(said({"type": "image_url", "image_url": url})) == [f"/messages/0/content/0/image_url {host}"]


@pytest.mark.requirement("LINK-01")
def test_a_key_that_is_written_with_escapes_is_found_as_any_other() -> None:
    tree = said({"type": "image_url", "image_url": URL})
    escaped = json.dumps(tree).replace("_url", "_\\u0075rl").replace("url", "ur\\u006c").replace("data", "\\u0064ata")
    assert json.loads(escaped) == tree
    assert linked(escaped.encode(), tree)
    assert linked(b'{"messages": [{"content": "plain words"}]}', tree) == ()
