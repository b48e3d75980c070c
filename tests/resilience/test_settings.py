"""The `resilience` section: what it says for a resource, and how it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, ConfigInvalid, load, setting_for, upstream_timeouts
from gateway.resilience.rules import Rulebook

if TYPE_CHECKING:
    from pathlib import Path

START = """version: 1
models: {m: {provider: openai, url: "https://api.openai.com/v1"}, n: {provider: openai, url: "https://a.example/v1"}}
"""


def read(folder: Path, text: str) -> Config:
    (folder / "oncegate.yaml").write_text(START + text, encoding="utf-8")
    return load(folder / "oncegate.yaml")


@pytest.mark.requirement("RES-06")
def test_each_setting_counts_by_itself_from_the_most_specific_pattern_that_says_it(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """resilience:
  "**": {timeout: 50s, retry: {attempts: 5}, breaker: {trip: "failure_ratio > 0.5"}}
  "model/**": {timeout: {connect: 1s, first_byte: 20s, total: 90s}}
  model/m: {retry: off}
  mcp/bank/**: {bulkhead: {in_flight: 3}}
  mcp/bank/tool/find: {retry: {attempts: 2}}
""",
    )
    book = Rulebook(config.resilience)
    of_m, of_n, find = book.rules_of("model/m"), book.rules_of("model/n"), book.rules_of("mcp/bank/tool/find")
    assert of_m is not None
    assert of_n is not None
    assert find is not None
    assert (of_m.retry, of_m.times.total_seconds, of_m.times.first_byte_seconds) == (None, 90, 20)
    assert of_n.retry is not None
    assert of_n.retry.tries_max == 5
    assert find.retry is not None
    assert (find.retry.tries_max, find.times.total_seconds) == (2, 50)
    assert upstream_timeouts(config, "model/n").connect_seconds_max == 1
    assert upstream_timeouts(config, "mcp/bank").connect_seconds_max == 10
    bulkhead = setting_for(config.resilience, "mcp/bank", lambda entry: entry.bulkhead, whole=True)
    assert bulkhead is not None
    assert bulkhead.in_flight_max == 3
    assert setting_for(config.resilience, "mcp/other", lambda entry: entry.bulkhead, whole=True) is None


@pytest.mark.requirement("RES-06")
def test_without_more_than_a_timeout_there_are_no_rules_to_follow(tmp_path: Path) -> None:
    config = read(tmp_path, 'resilience: {"**": {timeout: 50s}}\n')
    assert Rulebook(config.resilience).rules_of("model/m") is None


@pytest.mark.requirement("RES-06")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("resilience: {'**': {retry: {statuses: '42'}}}", "expected HTTP statuses such as `429,500-504`, not `42`"),
        ("resilience: {'**': {retry: {statuses: '504-500'}}}", "expected the lower status first, not `504-500`"),
        ("resilience: {'**': {retry: {attempts: 0}}}", "expected a whole number from 1 to 20"),
        ("resilience: {'**': {retry: {jitter: 2}}}", "expected a number from 0 to 1"),
        ("resilience: {'**': {retry: {initial: 1m}}}", "`initial` is longer than `max_interval`"),
        ("resilience: {'**': {retry: never}}", "`resilience.**.retry` must be a mapping of settings"),
        ("resilience: {'**': {timeout: {total: 1s, connect: 2s}}}", "`connect` is longer than `total`"),
        ("resilience: {'**': {timeout: {connect: 2s, first_byte: 2s}}}", "`connect` must be shorter"),
        ("resilience: {'**': {timeout: soon}}", "expected a duration such as"),
        ("resilience: {'**': {breaker: {trip: failurs > 3}}}", "`trip` is not usable: unknown variable `failurs`"),
        ("resilience: {'**': {breaker: {trip: failures}}}", "`trip` is not usable: it is neither true nor false"),
        ("resilience: {'**': {breaker: {trip: failures >}}}", "`trip` is not usable: not a CEL expression"),
        ("resilience: {'**': {breaker: {trip: 'now() > 3'}}}", "`trip` is not usable: unknown function `now`"),
        ("resilience: {mcp/s/tool/x: {breaker: {open: 1s}}}", "`breaker` belongs to a whole upstream"),
        ("resilience: {mcp/s/tool/x: {bulkhead: {in_flight: 1}}}", "`bulkhead` belongs to a whole upstream"),
        ("resilience: {'**': {bulkhead: {queue: 1}}}", "needs `in_flight`"),
        ("resilience: {mcp/**: {cache: {ttl: 1s}}}", "only models' answers are given again"),
        ("resilience: {'**': {hedge: {max: 1}}}", "needs `after`"),
        ("resilience: {mcp/**: {hedge: {after: 1s}}}", "only models are asked twice at a time"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, text)
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert found in problem.message


@pytest.mark.requirement("RES-06")
def test_a_fallback_must_be_another_configured_model(tmp_path: Path) -> None:
    third = '  x: {provider: openai, url: "https://x.example/v1", fallback: [m, x, gone]}\n'
    text = START.replace("models: {", "models:\n  ").replace("}, n:", "}\n  n:").replace("}}", "}")
    (tmp_path / "oncegate.yaml").write_text(text + third, encoding="utf-8")
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path / "oncegate.yaml")
    assert [(one.line, one.message.partition(";")[0]) for one in caught.value.problems] == [
        (5, "`gone` is no configured model"), (5, "`x` is the model itself"),
    ]  # fmt: skip
