"""What a workflow does, written as one does it above Oncegate: one POST an activity, with the two ids as headers.

Both engines' workers call these. `settings.json` says where things are; each start of an activity is a line in
`started`. While the file `stay-<workflow>.<activity>` exists, the activity gets its answer and then never returns,
so that the engine cannot have kept it when its worker is killed.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx

if TYPE_CHECKING:
    from pathlib import Path

CALL_SECONDS_MAX = 60
_STAY_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Activities:
    """The activities of one worker; `folder` is shared with the test."""

    folder: Path
    model: str
    tool: str
    key: str

    def ask(self, workflow: str) -> str:
        """Ask the model."""
        content = {"model": "one", "messages": [{"role": "user", "content": f"shall {workflow} be charged?"}]}
        answer = self._post(f"{self.model}/chat/completions", workflow, "ask", content)
        text = cast("str", answer.json()["choices"][0]["message"]["content"])
        return self._said(workflow, "ask", answer, text)

    def charge(self, workflow: str) -> str:
        """Use the tool, which has an effect."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                   "params": {"name": "charge", "arguments": {"order": workflow}}}  # fmt: skip
        answer = self._post(self.tool, workflow, "charge", message)
        result = answer.json()["result"]
        text = cast("str", result["content"][0]["text"])
        if result.get("isError"):  # a refusal of the gateway's, such as a call in doubt: the engine asks again
            raise RuntimeError(text)
        return self._said(workflow, "charge", answer, text)

    def _post(self, url: str, workflow: str, activity: str, content: object) -> httpx.Response:
        headers = {
            "authorization": f"Bearer {self.key}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-06-18",
            "oncegate-run": workflow,
            "idempotency-key": f"{workflow}.{activity}",
        }
        self._note("started", f"{workflow}.{activity}")
        answer = httpx.post(url, json=content, headers=headers, timeout=CALL_SECONDS_MAX)
        if answer.is_error:  # DBOS pickles an error's arguments: it must be able to make it again
            raise RuntimeError(f"{answer.status_code}: {answer.text}")
        return answer

    def _said(self, workflow: str, activity: str, answer: httpx.Response, text: str) -> str:
        stay = self.folder / f"stay-{workflow}.{activity}"
        replayed = " (replayed)" if answer.headers.get("oncegate-replayed") == "true" else ""
        self._note("answered", f"{workflow}.{activity}: {text}{replayed}")
        if stay.exists():
            threading.Event().wait(_STAY_SECONDS_MAX)
        return text

    def _note(self, name: str, line: str) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def of_settings(folder: Path) -> Activities:
    """Read `settings.json` of the folder."""
    found = cast("dict[str, str]", json.loads((folder / "settings.json").read_text(encoding="utf-8")))
    return Activities(folder, found["model"], found["tool"], found["key"])
