"""The fault rig: gateways, an effect server, an agent and a checker, each a process of its own."""
