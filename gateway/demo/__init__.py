"""The demo's parts: a scripted model server, a payments MCP server, an agent written with unmodified SDKs.

None of them is part of the gateway or imports it; `gateway.cli.demo` starts them as processes and tells the story.
"""
