"""The admin API: what operators see and decide, on a listener and a Unix socket of its own."""
