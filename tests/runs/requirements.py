"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_RUNS = "DESIGN section 6, runs"
_STEPS = "DESIGN section 6, steps"
_FAULTS = "DESIGN section 4"
_SCHEDULES = "issue 4, adversarial schedules"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("RUN-01", "A managed run that is due goes to one taker, each time as its next attempt.", _RUNS),
    Requirement(
        "RUN-02", "A managed run is given up at its deadline or after its last attempt, with the reason.", _RUNS
    ),
    Requirement("RUN-03", "A managed run of a gateway that ended is due again at once.", _FAULTS),
    Requirement("RUN-04", "The same id opens one managed run: same input the same run, another input an error.", _RUNS),
    Requirement(
        "RUN-05", "A run is cancelled whatever its attempt; an ended one is opened again only if it failed.", _RUNS
    ),
    Requirement("RUN-06", "A fork answers from its parent's journal up to a step, then goes on live.", "issue 4, runs"),
    Requirement(
        "RUN-07", "A fork holds each later `once` call of its parent, unless effects are to be repeated.", _STEPS
    ),
    Requirement(
        "RUN-08", "A later attempt's request that the journal lacks is told from the entry it replaces.", _STEPS
    ),
    Requirement("RUN-09", "A divergence is executed, held for an operator, or ends the run, as configured.", _STEPS),
    Requirement("RUN-10", "A tool call that a replayed model answer asks for is no divergence.", _STEPS),
    Requirement(
        "RUN-11", "An agent that resumes from its own checkpoint gets the outcomes it has not shown yet.", _SCHEDULES
    ),
    Requirement("RUN-12", "A managed run posts its input to the agent as that run; its answer is the result.", _RUNS),
    Requirement("RUN-13", "An agent that dies or asks for patience is invoked again; its calls replay.", _FAULTS),
    Requirement("RUN-14", "What asking again cannot mend ends a run; attempts and the deadline bound the rest.", _RUNS),
    Requirement("RUN-15", "Policy decides who opens a managed run; its owner and its opener see it.", _RUNS),
    Requirement("RUN-16", "A cancelled run's invocation ends; operators' deeds are in the audit with why.", _RUNS),
    Requirement("RUN-17", "A managed run outlives its gateway: another instance goes on, nobody asking.", _FAULTS),
    Requirement("RUN-18", "Input and result of managed runs are kept redacted.", "DESIGN section 10"),
    Requirement("RUN-19", "As first process of a container a supervisor passes signals on and reaps orphans.", _RUNS),
    Requirement(
        "RUN-20", "`runs cancel|retry|fork|show` do and say it; audited with who and why.", "DESIGN section 13"
    ),
    Requirement("RUN-21", "Parallel calls in another order after a restart are the same calls.", _SCHEDULES),
    Requirement("RUN-22", "Two processes with one attempt's token share each effect.", _SCHEDULES),
    Requirement("RUN-23", "An attempt goes on over the restart of its gateway.", _SCHEDULES),
    Requirement("RUN-24", "A zombie attempt is refused everywhere; its call under way counts once.", _SCHEDULES),
    Requirement(
        "RUN-25", "A framework's own checkpoint resumes on another instance without a second effect.", _SCHEDULES
    ),
    Requirement("RUN-26", "A divergence is told by path, never a value, and dealt with as configured.", _STEPS),
    Requirement("RUN-27", "A fork asks another model where its journal ends.", "issue 4, runs"),
    Requirement("RUN-29", "A fork is decided by the policy set it was made with.", "issue 4, runs"),
    Requirement(
        "RUN-30",
        "A resumed run's replayed and new calls are decided by today's lines; replays take no limit or approval.",
        "DESIGN section 6, steps; issue 7.5",
    ),
    Requirement("RUN-31", "A run named by header is made where policy lets; only its newest attempt goes on.", _RUNS),
    Requirement("RUN-32", "A run token stands in no log, audit, error or upstream, and changes no fingerprint.", _RUNS),
    Requirement("RUN-33", "A run and a key belong to agent, user and actors together.", _STEPS),
    Requirement(
        "RUN-34", "Without run and key each request is executed; in a bare run an equal one is answered.", _STEPS
    ),
    Requirement("RUN-35", "A key of a client's is of a fixed form.", _STEPS),
    Requirement("RUN-28", "A process run is resumed on another machine by its id.", "issue 4, it must show"),
)
