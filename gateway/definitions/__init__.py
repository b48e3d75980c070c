"""What MCP servers say of their tools, prompts and themselves: pinned, compared, scanned, and held to."""
