"""What the conformance suite starts as a client: it only says where to go and waits until the real one is done.

`python conformance_teller.py PORT URL`. The client itself is `tests/mcp/conformance_client.py`, in the process of the
test: starting one that has to load an SDK takes longer than what it does.
"""

import http.client
import json
import os
import sys

asked = {
    "scenario": os.environ["MCP_CONFORMANCE_SCENARIO"],
    "context": os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"),
    "server": sys.argv[2],
}
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
connection.request("POST", "/", json.dumps(asked))
sys.exit(0 if connection.getresponse().status == http.client.OK else 1)
