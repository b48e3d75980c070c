"""Requirements of the whole: the repository, the package, the demo. Id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("REPO-01", "files and bodies are short, files are named for one idea", "STYLE shape 1, 3"),
    Requirement("REPO-02", "nothing unfinished, machine-bound or mocked is in the repository", "STYLE tests, change"),
    Requirement("REPO-03", "dependencies and settings are few, dependencies locked with hashes", "issue 3 repository"),
    Requirement("REPO-04", "documents link to what exists, the changelog keeps its form", "issue 3 repository"),
    Requirement("REPO-05", "adapters never import one another", "DESIGN 12"),
)
