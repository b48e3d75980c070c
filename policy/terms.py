"""Which part of a condition did not hold, and what it read: for people who ask why.

CEL's `&&` and `||` are taken apart where they stand alone on their level; each part is a condition by itself and is
evaluated as one. What callers wrote is shown by its kind only, unless the one who asks wrote it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from policy.conditions import ConditionError, ConditionUnusable, compile_condition

if TYPE_CHECKING:
    from policy.decision import Question

_TEXT_CHARACTERS_MAX: Final = 80
_PARTS_SHOWN_MAX: Final = 8
_QUOTED: Final = r"[rRbB]{0,2}(?:\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
_TOKEN: Final = re.compile(rf"{_QUOTED}|&&|\|\||[()\[\]{{}}?]|[^\s]")
_PATH: Final = re.compile(
    rf"({_QUOTED})|\b(args|principal|run)((?:\s*\.\s*[A-Za-z_][A-Za-z0-9_]*(?!\s*\(|\w)|\[\s*(?:\d+|{_QUOTED})\s*\])*)"
    r"|\btime\b|(?<![\w.])(?:after|never_after|count|hour|minute|weekday|date|clock)\(\s*(?:'[^'\\]*'|\"[^\"\\]*\")\s*\)"
)
_STEP: Final = re.compile(r"\.\s*([A-Za-z_][A-Za-z0-9_]*)|\[\s*(?:(\d+)|[rRbB]{0,2}['\"]+([^'\"]*)['\"]+)\s*\]")
_MISSING: Final = object()


def why_not(name: str, expression: str, question: Question, *, plain: bool) -> str:
    """Return the first parts of a condition that did not hold for `question`, each with the values it read.

    Of `a && b` it is the first that is false (else that cannot be evaluated), of `a || b` all. `plain` shows texts
    of the arguments, which are else shown by their kind.
    """
    found = list(dict.fromkeys(_failing(name, expression, question)))
    more = f" (and {len(found) - _PARTS_SHOWN_MAX} more)" if len(found) > _PARTS_SHOWN_MAX else ""
    said = [_said(name, part, question, plain=plain) for part in found[:_PARTS_SHOWN_MAX]]
    return "; ".join(said) + more


def _failing(name: str, expression: str, question: Question) -> list[str]:
    expression = _bare(expression)
    alternatives = _split(expression, "||")
    if len(alternatives) > 1:
        return [part for one in alternatives for part in _failing(name, one, question)]
    needed = _split(expression, "&&")
    if len(needed) > 1:
        held = [(one, _holds(name, one, question)) for one in needed]
        wrong = next((one for one, holds in held if holds is False), None)
        wrong = wrong or next((one for one, holds in held if holds is None), None)
        return [expression] if wrong is None else _failing(name, wrong, question)
    return [expression]


def _holds(name: str, expression: str, question: Question) -> bool | None:
    """Return whether a part holds, `None` where that cannot be told."""
    try:
        return compile_condition(name, expression).holds(question)
    except (ConditionError, ConditionUnusable):
        return None


def _said(name: str, part: str, question: Question, *, plain: bool) -> str:
    holds = _holds(name, part, question)
    verdict = {True: "is true", False: "is false", None: "cannot be evaluated"}[holds]
    read = [f"{path} = {shown}" for path, shown in _read(part, question, plain=plain)]
    return f"`{part}` {verdict}: {', '.join(read)}" if read else f"`{part}` {verdict}"


def _read(part: str, question: Question, *, plain: bool) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for match in _PATH.finditer(part):
        if match.group(1) is not None:  # a text, whatever it says
            continue
        text = "".join(match.group().split()) if match.group(2) else match.group()
        if text not in found:
            found[text] = _value(text, match.group(2), match.group(3), question, plain=plain)
    return list(found.items())


def _value(text: str, root: str | None, steps: str | None, question: Question, *, plain: bool) -> str:
    if root == "args":
        value = _at(question.arguments, steps or "")
        return "missing" if value is _MISSING else shown(value, plain=plain)
    try:
        return shown(compile_condition(text, text).value(question), plain=True)
    except (ConditionError, ConditionUnusable):
        return "missing" if root == "principal" or question.run is not None else "not known here"


def _at(tree: object, steps: str) -> object:
    for step in _STEP.finditer(steps):
        member, index, quoted = step.groups()
        if index is not None:
            items = cast("list[object]", tree) if isinstance(tree, list) else []
            if int(index) >= len(items):
                return _MISSING
            tree = items[int(index)]
            continue
        name = member if member is not None else quoted
        if not isinstance(tree, dict) or name not in tree:
            return _MISSING
        tree = cast("dict[str, object]", tree)[name]
    return tree


def shown(value: object, *, plain: bool) -> str:
    """Return a value as it may be shown: texts and what holds some by their kind unless `plain`."""
    if isinstance(value, str):
        return f'"{value}"' if plain and len(value) <= _TEXT_CHARACTERS_MAX else f"a text of {len(value)} characters"
    if isinstance(value, list):
        items = cast("list[object]", value)
        short = plain and len(items) <= _PARTS_SHOWN_MAX
        return f"[{', '.join(shown(one, plain=True) for one in items)}]" if short else f"a list of {len(items)}"
    if isinstance(value, dict):
        return f"an object of {len(cast('dict[str, object]', value))}"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _bare(expression: str) -> str:
    """Return an expression without parentheses around the whole of it."""
    text = expression.strip()
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += token.group() == "("
        depth -= token.group() == ")"
        if depth == 0:
            return token.start()
    return -1


def _split(expression: str, operator: str) -> list[str]:
    """Return the parts of an expression between an operator on its own level; a conditional is left whole."""
    depth, begun = 0, 0
    parts: list[str] = []
    for token in _TOKEN.finditer(expression):
        sign = token.group()
        depth += sign in {"(", "[", "{"}
        depth -= sign in {")", "]", "}"}
        if depth == 0 and sign == "?":
            return [expression]
        if depth == 0 and sign == operator:
            parts.append(expression[begun : token.start()])
            begun = token.end()
    parts.append(expression[begun:])
    return parts
