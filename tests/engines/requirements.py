"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_ABOVE = "issue 4, engine above; DESIGN section 5"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "ENG-01",
        "An activity whose worker was killed in its call gets that one call's answer when executed again.",
        _ABOVE,
    ),
    Requirement("ENG-02", "An activity killed between answer and checkpoint gets the journaled answer again.", _ABOVE),
    Requirement("ENG-03", "The crash of an engine's own server executes no effect again.", _ABOVE),
    Requirement("ENG-04", "An engine alone, killed in mid-activity, doubles the effect: the tests can fail.", _ABOVE),
    Requirement(
        "ENG-05", "A workflow's id is its run: its activities are the run's steps, and it can be ended.", _ABOVE
    ),
)
