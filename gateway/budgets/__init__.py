"""Budgets: which ones cover a call, what it is charged, what is left of them."""
