"""What all JSON of the admin API has in common: unknown names are errors, and one line of text is one."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from gateway.admin.parts import REASON_CHARACTERS_MAX


class Form(BaseModel):
    """One JSON object of the admin API."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
# what it says is shown in terminals and kept in the audit
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
Line = Annotated[str, StringConstraints(pattern=_ONE_LINE)]
Reason = Annotated[str, StringConstraints(max_length=REASON_CHARACTERS_MAX, pattern=_ONE_LINE)]
