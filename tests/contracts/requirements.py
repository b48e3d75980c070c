"""What must be true of several gateways on one database."""

from __future__ import annotations

from tests.requirement import Requirement

_HISTORY = "DESIGN sections 6 and 9; issue 7.1"

REQUIREMENTS = (
    Requirement(
        "INST-01", "A step asked on several instances at once is executed once; all get its bytes.", "DESIGN section 4"
    ),
    Requirement("INST-02", "Attempts are numbered once, whichever instance opens them.", "DESIGN section 6"),
    Requirement(
        "INST-03",
        "What an ended instance left in flight is in doubt within its lease, and audited.",
        "DESIGN section 5",
    ),
    Requirement(
        "INST-04",
        "An instance past its lease sends nothing; its late outcome resolves the doubt or is fenced and audited.",
        "DESIGN section 4",
    ),
    Requirement(
        "INST-05", "A database that restarts in mid-traffic loses and doubles nothing.", "issue 4, PostgreSQL store"
    ),
    Requirement("INST-06", "Without its database an instance refuses, and goes on when it is back.", "DESIGN 4"),
    Requirement(
        "INST-07",
        "The schema is made once by its owner; a service role needs no right to change it or the audit.",
        "DESIGN section 5",
    ),
    Requirement("INST-08", "An instance that ends in order leaves nothing to wait for.", "DESIGN section 5"),
    Requirement(
        "OBJ-01",
        "An id of what a provider keeps is known to the owner whose outcome named it, written with that outcome.",
        "DESIGN section 6: provider object ids",
    ),
    Requirement(
        "OBJ-02",
        "It is kept as long as keys are remembered, then deleted in short parts.",
        "DESIGN section 5, retention",
    ),
    Requirement(
        "FORM-01",
        "A form is kept sealed under its name, the newest of a name and so many of a server, and goes as calls do.",
        "issue 8; DESIGN section 5, retention",
    ),
    Requirement(
        "FORM-02", "A form is sealed anew under a new secret, and goes where a value it names is erased.", "issue 8"
    ),
    Requirement(
        "HIST-01",
        "A run's past is what its journal holds, also after a restart of the gateway.",
        _HISTORY,
    ),
    Requirement(
        "HIST-02",
        "A step that is answered again is decided on the history it had.",
        _HISTORY,
    ),
    Requirement(
        "HIST-03",
        "What is known not to have been executed leaves no history; what is in doubt does.",
        _HISTORY,
    ),
    Requirement("HIST-04", "A fork has the history of the calls it holds.", _HISTORY),
    Requirement(
        "HIST-05",
        "Labels stay on agent and user for `label_ttl`, in whatever run.",
        _HISTORY,
    ),
    Requirement("HIST-10", "Labels are kept as long as anything is decided by them.", "STYLE 8; DESIGN section 9"),
    Requirement("HIST-06", "A run that is too long has no history, and conditions that ask for it err.", "STYLE 8, 10"),
    Requirement(
        "HIST-07",
        "What came to a run with labels keeps them as long as the run lasts, in its forks, and back to who opened it.",
        "DESIGN section 9, labels travel",
    ),
    Requirement(
        "HIST-09", "An answered step is decided on the time it was begun, also without a run.", "DESIGN section 6"
    ),
    Requirement("HIST-08", "Leaving the user out, or naming one, washes no label off.", "DESIGN section 9"),
)
