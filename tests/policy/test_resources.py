"""Names and patterns of resources."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.resources import UnusableName, compile_pattern, resource_name, resource_uri_name


@pytest.mark.requirement("POLICY-13")
@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("model", "meta/llama"), "model/meta%2Fllama"),
        (("mcp", "s", "tool", "get_user"), "mcp/s/tool/get_user"),
        (("mcp", "s", "tool", "a%2Fb"), "mcp/s/tool/a%252Fb"),
        (("mcp", "s", "tool", "cafe\u0301"), "mcp/s/tool/caf%C3%A9"),
        (("mcp", "s", "tool", "*"), "mcp/s/tool/%2A"),
    ],
)
def test_each_part_is_normalised_and_encoded_once(parts: tuple[str, ...], name: str) -> None:
    assert resource_name(*parts) == name


@pytest.mark.requirement("POLICY-13")
@pytest.mark.parametrize(
    "part",
    ["", ".", "..", "a\n", "a\x00", "\u202etool", "a\u200bb", "a\u2028b", "\ufeffa", "\ud800", "\ue000", "x" * 3000],
)
def test_a_part_that_hides_or_breaks_is_refused(part: str) -> None:
    with pytest.raises(UnusableName):
        resource_name("mcp", "s", "tool", part)


@pytest.mark.requirement("POLICY-13")
@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_two_lists_of_parts_have_one_name_only_if_they_look_the_same(first: list[str], second: list[str]) -> None:
    try:
        names = resource_name(*first), resource_name(*second)
    except UnusableName:
        return
    assert names[0].count("/") == len(first) - 1
    assert (names[0] == names[1]) == ([resource_name(one) for one in first] == [resource_name(one) for one in second])


@pytest.mark.requirement("POLICY-15")
@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("file:///data/a.txt", "mcp/s/resource/file/-/data/a.txt"),
        ("FILE:///data/a%2Etxt", "mcp/s/resource/file/-/data/a.txt"),
        ("https://Host.example:8443/x?q=1", "mcp/s/resource/https/host.example:8443/x/%3Fq=1"),
        ("test://static", "mcp/s/resource/test/static"),
        ("file:///a%2Fb", "mcp/s/resource/file/-/a%2Fb"),
        # one place, however it is written
        ("file://localhost/etc/x", "mcp/s/resource/file/-/etc/x"),
        ("file://LOCALHOST/etc/x", "mcp/s/resource/file/-/etc/x"),
        ("https://host.example:443/x", "mcp/s/resource/https/host.example/x"),
        ("HTTP://host.example:80/x", "mcp/s/resource/http/host.example/x"),
        ("http://host.example:443/x", "mcp/s/resource/http/host.example:443/x"),
        ("https://127.0.0.1/x", "mcp/s/resource/https/127.0.0.1/x"),
        ("https://[::1]:8443/x", "mcp/s/resource/https/%5B::1%5D:8443/x"),
        ("https://{host}.example/{+path}", "mcp/s/resource/https/%7Bhost%7D.example/%7B+path%7D"),
        # a server's own scheme has names of its own
        ("memo://%C3%A9t%C3%A9./x", "mcp/s/resource/memo/%25c3%25a9t%25c3%25a9./x"),
        ("notes://007/x", "mcp/s/resource/notes/007/x"),
    ],
)
def test_a_resource_uri_becomes_one_name(uri: str, name: str) -> None:
    assert resource_uri_name("s", uri) == name


@pytest.mark.requirement("POLICY-15")
@pytest.mark.parametrize(
    "uri",
    [
        "file:///data/../etc/passwd", "file:///data/%2e%2e/etc", "file:///data//x", "https://user:pw@host/x",
        "nothing", "", "http://[::1/x", "file:///a%ff", "file:///a%00", "file:///a#part", "file:///a#",
        "file:///a/..%2F..%2Fetc", "file:///a/%252e%252e/etc", "file:///a/..%5Cetc", "file:///a\\b", "file:///a\nb",
        " file:///a", "file:///a?", "file:///%3Fq=1", "file:///a?%ff",
        "https://evil.example./x", "https://ev%69l.example/x", "https://\uff45vil.example/x", "https://evil\u3002example/x",
        "https://evil.example:/x", "https://evil.example:0443/x", "https://evil..example/x", "https:///x",
        "http://2130706433/x", "http://0x7f.1/x", "http://0177.0.0.1/x", "http://127.1/x", "http://127.0.0.1./x",
        "https://[::1]x/x", "https://a]/x",
    ],
)  # fmt: skip
def test_a_uri_that_could_mean_two_things_is_refused(uri: str) -> None:
    with pytest.raises(UnusableName):
        resource_uri_name("s", uri)


@pytest.mark.requirement("POLICY-14", "TRAP-01", "TRAP-02", "TRAP-03")
@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("t/get_*x", "t/get_secret", False),
        ("t/a*cd", "t/abd", False),
        ("t/a*z", "t/admin", False),
        ("t/a*a", "t/a", False),
        ("t/read", "t/read_file_and_delete", False),
        ("t/read", "t/read\n", False),
        ("data/*/public", "data/x/secret", False),
        ("data*", "dataset/x", False),
        ("t/a.b", "t/aXb", False),
        ("t/*", "t/x/y", False),
        ("t/*", "t/", True),
        ("t/**", "t", False),
        ("t/**", "t/x/y/z", True),
        ("**", "anything/at/all", True),
        ("t/*/x", "t/y/x", True),
        ("t/a*b*c", "t/a-b-b-c", True),
        ("t/delete_*", "t/delete_customer", True),
        ("t/delete_*", "t/Delete_customer", False),
    ],
)
def test_patterns_match_by_whole_segments(pattern: str, name: str, fits: bool) -> None:  # noqa: FBT001 - a table
    assert compile_pattern(pattern).matches(name) is fits


@pytest.mark.requirement("POLICY-14")
@given(st.text("ab*", min_size=1, max_size=7), st.text("ab", max_size=9))
def test_a_segment_matches_as_its_obvious_definition(glob: str, text: str) -> None:
    if "**" in glob:
        return
    expected = re.fullmatch(glob.replace("*", ".*"), text) is not None
    assert compile_pattern(f"x/{glob}").matches(f"x/{text}") is expected


@pytest.mark.requirement("TRAP-01", "POLICY-14")
def test_no_pattern_explodes() -> None:
    start = time.process_time()  # of this process alone: it only computes
    compile_pattern("t/" + "*a" * 400 + "*z").matches("t/" + "a" * 2000)
    assert time.process_time() - start < 1.0
