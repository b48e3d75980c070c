"""A worker of DBOS on its SQLite: `python -m tests.engines.dbos_worker FOLDER WORKFLOW…`, until all are done."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandle

from tests.engines import activities

_WHERE = Path(sys.argv[1])
_DOING = activities.of_settings(_WHERE)


@DBOS.step()
def ask(workflow: str) -> str:
    """Ask the model."""
    return _DOING.ask(workflow)


@DBOS.step()
def charge(workflow: str) -> str:
    """Use the tool."""
    return _DOING.charge(workflow)


@DBOS.workflow()
def order(workflow: str) -> list[str]:
    """Ask, then charge."""
    return [ask(workflow), charge(workflow)]


def main(workflows: list[str]) -> None:
    """Run the workflows of those ids to their end, wherever they stand."""
    config: DBOSConfig = {
        "name": "engines-above",
        "system_database_url": f"sqlite:///{_WHERE}/dbos.sqlite",
        "executor_id": "one",
        "application_version": "1",  # else another process would not take it up
        "enable_otlp": False,
    }
    DBOS(config=config)
    DBOS.launch()  # takes up what this executor left pending
    for workflow in workflows:
        if DBOS.get_workflow_status(workflow) is None:
            with SetWorkflowID(workflow):
                DBOS.start_workflow(order, workflow)
    for workflow in workflows:
        handle: WorkflowHandle[list[str]] = DBOS.retrieve_workflow(workflow)
        result = handle.get_result(polling_interval_sec=0.1)
        (_WHERE / f"result-{workflow}").write_text(json.dumps(result), encoding="utf-8")
    DBOS.destroy()


if __name__ == "__main__":
    main(sys.argv[2:])
