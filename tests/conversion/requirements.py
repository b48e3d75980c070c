"""Requirements of conversion between model protocols: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("CONV-01", "A converted request is one the target's official types accept.", "issue 6 point 3"),
    Requirement("CONV-02", "A request said in the other protocol and back is the same request.", "issue 6 point 3"),
    Requirement(
        "CONV-03", "What cannot be carried is refused by its path, never dropped in silence.", "issue 6 point 3"
    ),
    Requirement("CONV-04", "What is left out has no meaning to the model, and is named.", "issue 6 point 3"),
    Requirement("CONV-05", "A converted answer is one the client's official types accept.", "issue 6 point 3"),
    Requirement("CONV-06", "An answer said in the other protocol and back is the same answer.", "issue 6 point 3"),
    Requirement("CONV-07", "A converted stream adds up to the converted answer, wherever it is cut.", "issue 6; G25"),
    Requirement(
        "CONV-08", "Usage counts the same in both protocols, cached and written tokens too.", "issue 6 point 5"
    ),
    Requirement("CONV-09", "Recorded traffic is converted as the golden files say.", "issue 6 point 3"),
    Requirement("CONV-10", "A broken or unsayable answer is never taken for a whole one.", "DESIGN 4"),
    Requirement("CONV-11", "An agent of either SDK calls a model of either provider, unmodified.", "issue 6 point 3"),
    Requirement("CONV-12", "Errors cross over: the client's SDK raises the class that fits.", "issue 6 points 1, 3"),
    Requirement("CONV-13", "Journal, replay and evidence stay in the client's protocol.", "DESIGN 5, 6"),
)
