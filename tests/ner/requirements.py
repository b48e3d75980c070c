"""Requirements of the name finders: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("NER-01", "The language model's entities are those spaCy finds with it.", "issue 8; facts 1"),
    Requirement("NER-02", "People in held-out texts are found as often as the model card says.", "issue 8"),
    Requirement("NER-03", "A name finder that is missing or was changed is refused with what to do.", "issue 8"),
    Requirement("NER-04", "The same seed makes the same texts; what is judged on is in no training text.", "issue 8"),
    Requirement(
        "NER-05", "What the network rules out needs no language model, and nothing is lost by that.", "issue 8"
    ),
    Requirement("NER-06", "A text has the same scores alone, among others and seen before.", "DESIGN 10; facts 4"),
    Requirement("NER-07", "Labels become entities that begin, end and stand apart.", "Ratinov and Roth 2009"),
    Requirement("NER-09", "Words never seen before do not fill the memory of a worker.", "issue 8 item 7"),
    Requirement(
        "NER-10", "As many names are found as if the language model were asked always, not in doubt alone.", "issue 8"
    ),
    Requirement("NER-11", "A text in doubt is read again, with what the language model makes of its words.", "issue 8"),
    Requirement("NER-12", "A word is looked up in lists of names that hold nothing that is judged on.", "issue 8"),
    Requirement("NER-08", "What both finders say is one entity, of the kind of who is surer.", "issue 8"),
)
