"""`oncegate policy`: try a policy folder's cases, and say why a question is decided as it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from gateway import body
from gateway.cli import options
from gateway.cli.output import NO, USAGE, Column, Failure, note, print_json, print_pairs, print_table, screen, visible
from gateway.cli.policy_compare import diff, replay
from gateway.cli.policy_junit import junit
from gateway.cli.policy_lint import lint
from policy.case_file import CaseUnusable, checked_action, checked_resource, read_history, read_time, subject
from policy.cases import Report, run_cases
from policy.decision import Decision, LineRef, Principal, Question
from policy.explain import Candidate, Explanation, explain
from policy.source import PolicyInvalid, load

if TYPE_CHECKING:
    from policy.decision import Obligations

app = typer.Typer(add_completion=False, no_args_is_help=True)
app.command("lint")(lint)
app.command("diff")(diff)
app.command("replay")(replay)

FolderArgument = Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder of policy files.")]
_JsonOption = options.JsonOption
_FOLDER = Path("policies")
_STYLES = {"allow": "green", "deny": "red", "approval": "yellow"}


@app.command("test")
def try_cases(
    folder: FolderArgument = _FOLDER,
    *,
    engine: Annotated[
        Literal["compiled", "both"], typer.Option(help="`both` asks stock Casbin too; a difference is a failure.")
    ] = "compiled",
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML too.")
    ] = None,
    as_json: _JsonOption = False,
) -> None:
    """Try the cases in `*_test.yaml`; exits 1 when one fails or there are none."""
    try:
        report = run_cases(folder, engine)
    except PolicyInvalid as invalid:
        raise Failure(USAGE, str(invalid)) from None
    if junit_file is not None:
        try:
            junit_file.write_text(junit(report), encoding="utf-8")
        except OSError as error:
            raise Failure(USAGE, f"`{junit_file}`: {(error.strerror or 'cannot be written').lower()}") from None
    if as_json:
        print_json(_report(report))
    else:
        _show_report(report, folder, engine)
    raise typer.Exit(0 if report.ok else NO)


@app.command("explain")
def explain_question(
    folder: FolderArgument = _FOLDER,
    *,
    who: Annotated[str, typer.Option("--as", metavar="SUBJECT", help="Who asks: agent:<domain>/<name>.")],
    resource: Annotated[str, typer.Option(help="What is called, as in mcp/payments/tool/charge_card.")],
    action: Annotated[str, typer.Option(help="What is done with it.")] = "call",
    arguments: Annotated[str | None, typer.Option("--args", metavar="JSON", help="The call's arguments.")] = None,
    resource_domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="The resource's trust domain; left out, the caller's.")
    ] = None,
    role: Annotated[list[str] | None, typer.Option(help="A role in the caller's token; may be repeated.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="A group in the caller's token; may be repeated.")] = None,
    on_behalf_of: Annotated[str | None, typer.Option(metavar="USER", help="The user behind the agent.")] = None,
    actor: Annotated[list[str] | None, typer.Option(help="An actor in between; may be repeated.")] = None,
    at_time: Annotated[str | None, typer.Option("--time", help="When it is asked (ISO 8601); left out, now.")] = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="JSON", help='What the run did before: {"labels": ["x"], "calls": ["mcp/s/tool/t"]}.'),
    ] = None,
    as_json: _JsonOption = False,
) -> None:
    """Say how a question is decided and by which line; exits 1 when the answer is deny."""
    try:
        agent, domain = subject(who, None)
        question = Question(
            principal=Principal(
                agent=agent, domain=domain, method="api_key", user=on_behalf_of,
                roles=frozenset(name.removeprefix("role:") for name in role or ()),
                groups=frozenset(name.removeprefix("group:") for name in group or ()), actors=tuple(actor or ()),
            ),
            resource=checked_resource(resource), resource_domain=resource_domain or domain,
            action=checked_action(action), arguments=_json("--args", arguments),
            time=time.time() if at_time is None else read_time(at_time), run=read_history(_json("--run", run)),
        )  # fmt: skip
        found = explain(load(folder), question, plain=True)  # its arguments are those just typed
    except (PolicyInvalid, CaseUnusable) as error:
        raise Failure(USAGE, str(error)) from None
    if as_json:
        print_json(_explanation(found))
    else:
        _show_explanation(found)
    raise typer.Exit(NO if found.decision.effect == "deny" else 0)


def _json(option: str, text: str | None) -> object:
    if text is None:
        return None
    try:
        return body.parse(text.encode())
    except body.MalformedBody as error:
        raise Failure(USAGE, f"`{option}`: expected JSON: {error}".lower()) from None


def _show_report(report: Report, folder: Path, engine: str) -> None:
    rows = [
        (f"{one.case.file}:{one.case.line}", one.case.name, Text("; ".join(map(visible, one.failures)), style="red"))
        for one in report.failed
    ]
    if rows:
        print_table([Column("case", whole=True), Column("name"), Column("failure")], rows, empty="")
    passed = len(report.results) - len(report.failed)
    engines = "the compiled set and stock Casbin" if engine == "both" else "the compiled set"
    screen().print(
        Text(f"{passed} of {len(report.results)} cases as expected, by {engines}", style="" if report.ok else "red")
    )
    screen().print(Text(f"{report.lines - len(report.uncovered)} of {report.lines} lines covered"))
    for ref in report.uncovered:
        note(f"no case makes this line match: {ref.file}:{ref.line}: {ref.text}")
    if not report.results:
        note(f"no cases in `{folder}`: write some into a file whose name ends in `_test.yaml`")


def _show_explanation(found: Explanation) -> None:
    decision = found.decision
    line = decision.line
    pairs: list[tuple[str, Text | str]] = [
        ("decision", Text(decision.effect, style=_STYLES[decision.effect])),
        ("reason", decision.reason),
        (
            "line",
            f"{line.id} ({line.file}:{line.line})  {line.text}" if line else "none: what no line allows is denied",
        ),
    ]
    if found.crossing is not None:
        flow = decision.flow_line
        pairs.append(("flow", f"{flow.file}:{flow.line}  {flow.text}" if flow else "no `p2` line leads across"))
    pairs += [(name, value) for name, value in _demands(decision.obligations) if value]
    pairs.append(("policies", decision.digest))
    if found.changed_model:
        pairs.append(("model", "a changed `model.conf`: stock Casbin decides; lines below are read by the shipped one"))
    print_pairs(pairs)
    columns = [Column("line", whole=True), Column("effect"), Column("matched"), Column("why not, or by which role")]
    if found.flows:
        screen().print(Text("\nfrom domain to domain", style="bold"))
        print_table(columns, [_row(one) for one in found.flows], empty="")
    for one in found.subjects:
        screen().print(Text(f"\n{visible(one.name)}", style="bold"), Text(visible(" ".join(one.names)), style="dim"))
        print_table(columns, [_row(candidate) for candidate in one.candidates], empty="no line comes near")


def _row(one: Candidate) -> tuple[Text | str, ...]:
    if one.failed == "condition":
        why = f"{one.found}  (condition {one.wanted})"
    elif one.failed is not None:
        why = f"{one.failed}: expected {one.wanted}, not {one.found}"
    else:
        why = one.found or " > ".join(one.path)
    effect = Text(one.effect, style=_STYLES[one.effect])
    return one.line.id, effect, Text("yes", style="bold") if one.matched else "no", why


def _demands(obligations: Obligations) -> tuple[tuple[str, str], ...]:
    restores = [
        f"{'+'.join(sorted(one.entities)) or '*'}@{one.pointer if one.target == 'tool' else one.target}"
        for one in obligations.restores
    ]
    return (
        ("redact", " ".join(obligations.profiles)),
        ("approval", " ".join(obligations.approvals)),
        ("restore", " ".join(restores)),
        ("limit", " ".join(f"{one.calls}/{one.seconds}s" for one in obligations.limits)),
        ("label", " ".join(obligations.labels)),
    )


def _report(report: Report) -> dict[str, object]:
    return {
        "ok": report.ok,
        "policies": report.digest,
        "cases": [
            {
                "file": one.case.file, "line": one.case.line, "name": one.case.name, "ok": not one.failures,
                "decision": one.decision.effect, "rule": one.decision.rule, "failures": list(one.failures),
            }
            for one in report.results
        ],
        "lines": report.lines,
        "uncovered": [_line(ref) for ref in report.uncovered],
    }  # fmt: skip


def _explanation(found: Explanation) -> dict[str, object]:
    decision: Decision = found.decision
    return {
        "decision": decision.effect,
        "reason": decision.reason,
        "rule": decision.rule,
        "line": _line(decision.line),
        "flow_line": _line(decision.flow_line),
        "error": decision.error,
        "obligations": {name: value.split() for name, value in _demands(decision.obligations)},
        "policies": decision.digest,
        "changed_model": found.changed_model,
        "flows": [_candidate(one) for one in found.flows],
        "subjects": [
            {
                "name": one.name,
                "names": list(one.names),
                "candidates": [_candidate(candidate) for candidate in one.candidates],
            }
            for one in found.subjects
        ],
    }


def _candidate(one: Candidate) -> dict[str, object]:
    return {
        "line": _line(one.line), "effect": one.effect, "matched": one.matched, "failed": one.failed,
        "wanted": one.wanted, "found": one.found, "path": list(one.path),
    }  # fmt: skip


def _line(ref: LineRef | None) -> dict[str, object] | None:
    return None if ref is None else {"id": ref.id, "file": ref.file, "line": ref.line, "text": ref.text}
