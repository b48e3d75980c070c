"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_ISSUE = "issue 9"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("CON-01", "Every page opens in a real browser, without an error, for whom policy lets see it.", _ISSUE),
    Requirement("CON-02", "A browser logs in with an operator's credential and is out when that is revoked.", _ISSUE),
    Requirement("CON-03", "What changes something needs the session's secret and comes from this site.", _ISSUE),
    Requirement("CON-04", "Text of tools, models and agents is shown as text, wherever it stands.", _ISSUE),
    Requirement("CON-05", "A call that waits is approved in the browser and goes on; there is no bulk.", _ISSUE),
    Requirement("CON-06", "No page runs a script or loads a thing that is not shipped.", _ISSUE),
    Requirement("CON-07", "`/metrics` has every series that is declared, and no value of a caller as a label.", _ISSUE),
    Requirement("CON-08", "Dashboard and alert rules speak of series that exist.", _ISSUE),
    Requirement("CON-09", "The admin API is described, paged, and answers `304` to who has the same.", _ISSUE),
    Requirement(
        "CON-10", "Who a person was is forgotten at an operator's word, and the audit says that it was.", _ISSUE
    ),
    Requirement("CON-12", "The kill switch is thrown and taken back from the agents page.", _ISSUE),
    Requirement("CON-13", "Pages are found by indexes and bounded, however long the journal is.", _ISSUE),
    Requirement(
        "CON-15",
        "People log in by their trust domain's OpenID provider (code, PKCE, nonce); the file gives them roles.",
        _ISSUE,
    ),
    Requirement(
        "CON-16", "A login is ended by the browser that began it, once and in time, and its session is bounded.", _ISSUE
    ),
    Requirement("CON-17", "No page has a barrier that axe-core knows (WCAG 2.2 AA), in light and dark.", _ISSUE),
    Requirement("CON-18", "A run is forked, a doubt resolved and a changed tool accepted in the browser.", _ISSUE),
    Requirement("CON-19", "Everything on a page is reached by keyboard, in the order it is read.", _ISSUE),
    Requirement("CON-24", "Pages fit the screen they are on; only tables and diffs scroll sideways.", _ISSUE),
    Requirement("CON-20", "Every list that grows is paged to its end without a gap.", _ISSUE),
    Requirement("CON-21", "What the console exports is the whole audit, and `audit verify` takes it.", _ISSUE),
    Requirement("CON-14", "No planted value is in pages, series, audit, log or files.", _ISSUE),
    Requirement("CON-22", "Other sites, strangers and people who may do less get nothing from the listener.", _ISSUE),
    Requirement("CON-23", "A message that reached no agent is a dead letter, and is delivered again there.", _ISSUE),
    Requirement("CON-11", "`top` draws how a gateway stands; `doctor` looks at exporters and checkpoints.", _ISSUE),
)
