"""Decides which principal may do what: Casbin files in, a decision with its reasons out."""
