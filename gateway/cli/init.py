"""`oncegate init`: a configuration that runs, with its key, its keys file and the starter policies."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.output import USAGE, Failure, print_json, screen
from gateway.config.schema import schema_text
from gateway.identity.keys_edit import EMPTY
from gateway.secrets import KEY_BYTES
from gateway.shipped import policies_folder

_CONFIG: Final = """\
# yaml-language-server: $schema=oncegate.schema.json
# Every setting, with its meaning, is in oncegate.schema.json; what is left out here has a safe default.
version: 1
listen: 127.0.0.1:8080        # agents; anything but loopback needs credentials
admin: 127.0.0.1:8081         # operators
state: sqlite:///oncegate.db  # the journal
secret_key: file:oncegate.key # encrypts the journal, signs run tokens; keep a copy, without it the journal is lost
policies: policies            # who may do what; try `oncegate policy test` and `oncegate policy explain`

trust_domains:
  demo:                       # the starter policies speak of this domain
    api_keys_file: keys.yaml  # `oncegate token create --agent billing --domain demo --role clerk`
    # issuers:                # tokens of your identity provider, instead of or beside keys
    #   - issuer: https://idp.example
    #     jwks_url: https://idp.example/jwks
    #     algorithms: [RS256]
    #     audience: https://gateway.example

models:
  demo-model:                 # the name agents use
    provider: openai
    url: https://api.openai.com/v1
    credential: env:OPENAI_API_KEY
    upstream_model: gpt-5-mini
    domain: demo

# mcp_servers:
#   payments:
#     url: http://127.0.0.1:9000/mcp
#     domain: demo
#     tools:
#       find_invoice: {effect: safe}
#       charge_card: {effect: once}
"""
_PUBLIC: Final = 0o644
_PRIVATE: Final = 0o600


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write; made when absent.")] = Path(),
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Write oncegate.yaml, its key, an empty keys file and the starter policies. Nothing is overwritten."""
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n"
    files = {
        "oncegate.yaml": (_CONFIG, _PUBLIC),
        "oncegate.schema.json": (schema_text(), _PUBLIC),
        "oncegate.key": (key, _PRIVATE),
        "keys.yaml": (EMPTY, _PRIVATE),
    }
    there = [name for name in (*files, "policies") if (folder / name).exists() or (folder / name).is_symlink()]
    if there:
        raise Failure(
            USAGE, f"`{folder}` already holds {', '.join(f'`{name}`' for name in there)}; nothing was written"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(
            policies_folder(), folder / "policies", ignore=shutil.ignore_patterns("__pycache__", ".*", "sets")
        )
        for name, (text, mode) in files.items():
            _write(folder / name, text, mode)
    except OSError as error:
        raise Failure(USAGE, f"`{folder}` cannot be written: {(error.strerror or 'failed').lower()}") from None
    _say(folder, [*files, "policies"], as_json=as_json)


def _write(path: Path, text: str, mode: int) -> None:
    # O_EXCL: neither a file made meanwhile nor a planted link is written through
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _say(folder: Path, names: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json([{"path": str(folder / name)} for name in names])
        return
    out = screen()
    for name in names:
        out.print(f"wrote {folder / name}", soft_wrap=True, markup=False)
    config = "" if folder == Path() else f" -c {folder / 'oncegate.yaml'}"
    out.print("next:", style="bold")
    for step in (
        f"oncegate check{config}",
        f"oncegate token create --agent billing --domain demo --role clerk{config}",
        f"oncegate token create --agent operator --domain demo --admin{config}   # logs in to the console",
        f"oncegate serve{config}",
    ):
        out.print(f"  {step}", soft_wrap=True, markup=False)
