"""A report of policy cases in the form that continuous integration reads (JUnit XML)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from policy.cases import Report

#: What XML 1.0 has no place for (section 2.2).
_NO_CHARACTERS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """Return the report: one suite, one case each, what is not as expected as its failure; no cases is an error."""
    failed = len(report.failed)
    lines = ['<?xml version="1.0" encoding="utf-8"?>']
    none = 0 if report.results else 1
    count = len(report.results) + none
    lines.append(f'<testsuite name="oncegate policy" tests="{count}" failures="{failed}" errors="{none}">')
    for one in report.results:
        place = f"classname={_text(one.case.file)} name={_text(f'{one.case.line}: {one.case.name}')}"
        if one.failures:
            lines.append(f"<testcase {place}><failure message={_text('; '.join(one.failures))}/></testcase>")
        else:
            lines.append(f"<testcase {place}/>")
    if none:
        lines.append('<testcase classname="policies" name="cases"><error message="there are no cases"/></testcase>')
    return "\n".join([*lines, "</testsuite>", ""])


def _text(value: str) -> str:
    return quoteattr(_NO_CHARACTERS.sub("�", value))
