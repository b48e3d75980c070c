"""Templates made into pages: whatever they are given is text, and escaped."""

import re
from importlib.resources import files
from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.admin.door import PRINCIPAL, SESSION
from gateway.admin.sessions import Session
from gateway.console import forms
from policy.decision import Principal

HERE = Path(str(files("gateway.console")))
SECTIONS = (
    ("Overview", "/"), ("Runs", "/runs"), ("Calls", "/calls"), ("Approvals", "/approvals"), ("Policies", "/policies"),
    ("Tools", "/tools"), ("Agents", "/agents"), ("Messages", "/messages"),
    ("Redaction", "/redaction"), ("Audit", "/audit"),
)  # fmt: skip


def environment() -> Environment:
    """Return the templates: whatever they are given is text, and escaped."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True,
    )  # fmt: skip
    found.filters |= {
        "when": forms.when,
        "usd": forms.usd,
        "amount": forms.amount,
        "span": forms.span,
        "counts": forms.counts,
    }
    return found


def rendered(request: Request, name: str, status: int = 200, **values: object) -> HTMLResponse:
    """Return a page."""
    state = request.scope["state"]
    session, principal = state.get(SESSION), state.get(PRINCIPAL)
    first = re.match(r"/[^/]*", request.url.path)
    query = f"?{request.url.query}" if request.url.query else ""
    text = request.app.state.templates.get_template(name).render(
        csrf=session.csrf if isinstance(session, Session) else "", sections=SECTIONS,
        section=first.group() if first else "/", path=request.url.path + query,
        who=principal.name if isinstance(principal, Principal) else "", **values,
    )  # fmt: skip
    return HTMLResponse(text, status)
