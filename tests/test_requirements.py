"""Every requirement has a test, every test's requirement exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests.requirements import REQUIREMENTS

HERE = Path(__file__).parent
DESIGN = HERE.parent / "docs" / "design-tests.md"
_ID = re.compile(r"[A-Z][A-Z0-9]*-[0-9]{2}")


def _ids_used() -> set[str]:
    used: set[str] = set()
    for path in HERE.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.requirement":
                used.update(ast.literal_eval(argument) for argument in node.args)
    return used


def test_every_requirement_has_a_test_and_every_test_names_a_known_requirement() -> None:
    known = {requirement.id for requirement in REQUIREMENTS}
    used = _ids_used()
    assert used - known == set(), "tests name requirements nobody wrote down"
    assert known - used == set(), "requirements without a test"


def test_requirement_ids_are_unique_and_each_names_its_source() -> None:
    counts = Counter(requirement.id for requirement in REQUIREMENTS)
    assert [name for name, count in counts.items() if count > 1] == []
    assert [requirement.id for requirement in REQUIREMENTS if not (requirement.text and requirement.source)] == []


def test_every_clause_of_the_design_is_held_by_requirements_that_have_tests() -> None:
    used, rows = _ids_used(), 0
    for line in DESIGN.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or cells[0] in {"clause", "---"}:
            continue
        named = cells[-1].split(", ")
        assert len(cells) == 2, line
        assert [one for one in named if not _ID.fullmatch(one) or one not in used] == [], line
        rows += 1
    assert rows > 70
