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
    Requirement("UP-01", "A request whose connection was never made is known not sent.", "DESIGN 4; durable 5 rule 6"),
    Requirement("UP-02", "A connection cut after the first byte means sent; it is never tried again.", "DESIGN 4"),
    Requirement("UP-03", "Every wait for an answer ends in its time and means sent.", "DESIGN 4; STYLE 10"),
    Requirement("UP-04", "A cancelled call drops its connection and frees its place.", "DESIGN 6 Answers"),
    Requirement("UP-05", "A kept connection the upstream closed or wrote to unasked is not used.", "RFC 9112 9.3.1"),
    Requirement("UP-06", "An answer is read to the end its framing tells.", "RFC 9112 6.3; RFC 9110 15.2"),
    Requirement("UP-07", "An answer of doubtful framing, size or coding is no answer.", "RFC 9112 6.1, 6.3, 11.1"),
    Requirement("UP-08", "A request that could be read as two is never sent.", "RFC 9112 11.1; RFC 9110 5.5"),
    Requirement("UP-09", "Connections are kept, shared one call at a time, and let go after their idle time.", "G12"),
    Requirement("UP-10", "An upstream is read only as fast as its answer is used.", "STYLE 10"),
    Requirement("UP-11", "Upstreams over TLS are verified; nothing is sent before that.", "RFC 9110 4.3.4"),
    Requirement("TEL-01", "A call is one trace, and its id is the audit record's.", "DESIGN 11, 13; W3C Trace Context"),
    Requirement("TEL-02", "Spans carry the GenAI and MCP conventions and our names.", "DESIGN 13; policy C1, C2"),
    Requirement("TEL-03", "Inbound trace context is a link, never a parent.", "policy C1"),
    Requirement("TEL-04", "No content stands in a trace.", "issue 3 point 7; policy C1"),
    Requirement("TEL-05", "What was recorded in time arrives.", "policy C3"),
    Requirement("TEL-06", "Telemetry never stops a call, and what it drops is counted.", "policy C3, C4"),
)
