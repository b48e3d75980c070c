"""What the process has imported that the rig's gateways are forked from; whatever it imports, they need not."""

from __future__ import annotations

import gc
from importlib import import_module

for _name in (
    "anyio._backends._asyncio", "httpcore", "pytest", "uvicorn.protocols.http.httptools_impl",
    "tests.faults.rig.armed", "tests.faults.rig.stand",
):  # fmt: skip
    import_module(_name)

# else each gateway would look through all of it at its first collection, and copy the pages
gc.collect()
gc.freeze()
