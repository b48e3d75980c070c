"""Every requirement has a test, every test's requirement exists."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from tests.requirements import REQUIREMENTS

HERE = Path(__file__).parent


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
