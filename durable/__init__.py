"""The journal: intents before effects, outcomes after them, and what a crash leaves in doubt."""
