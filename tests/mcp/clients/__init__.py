"""Frameworks' own MCP clients, each run in an environment that has its packages (scripts/mcp-peers)."""
