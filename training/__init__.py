"""Training of what the gateway ships trained; not part of the wheel."""
