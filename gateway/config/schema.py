"""The configuration's JSON Schema, made from the types; editors name it in the file's first line."""

from __future__ import annotations

import json

from gateway.config.root import ROOT


def schema() -> dict[str, object]:
    """Return the schema (JSON Schema 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Oncegate configuration",
        **ROOT.schema(),
        "type": "object",
    }


def schema_text() -> str:
    """Return the schema as it is shipped."""
    return json.dumps(schema(), indent=1, ensure_ascii=True) + "\n"
