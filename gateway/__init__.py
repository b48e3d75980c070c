"""The only package that knows HTTP, protocols, identity and telemetry; it composes the engines."""
