"""Requirements of the data path: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("GW-01", "Bodies that parsers could read differently are refused unquoted.", "DESIGN 3.1"),
    Requirement("GW-02", "Numbers and unknown fields leave by the text they came with.", "DESIGN 6; STYLE Bodies"),
    Requirement("GW-03", "The canonical form sorts keys and keeps numbers by their text.", "DESIGN 6 Fingerprint"),
    Requirement("GW-04", "An event stream is read the same wherever it is cut.", "WHATWG HTML 9.2"),
    Requirement("GW-05", "A tool call is recognised in model traffic under a framework's prefix.", "DESIGN 6 Steps"),
    Requirement("GW-06", "An unusable chat request is refused in OpenAI's error object.", "DESIGN 3 Refusals"),
    Requirement("GW-07", "Volatile fields, key order and twins' order do not count.", "DESIGN 6; agents 5"),
    Requirement("GW-08", "What did not change is sent as it came; the caller's credential never.", "G9"),
    Requirement("GW-09", "Provider-hosted tools are resources of their own and executed at most once.", "DESIGN 2"),
    Requirement("GW-10", "Frames that complete a tool call or the answer wait for the journal.", "DESIGN 3.11"),
    Requirement("GW-11", "Only proof of an outcome counts as one.", "DESIGN 6 Only outcomes advance n"),
    Requirement("GW-12", "Tool calls are evidence wherever model traffic shows them.", "DESIGN 6 evidence"),
)
