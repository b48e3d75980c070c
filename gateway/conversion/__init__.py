"""OpenAI chat and Anthropic messages said in each other's words: plain functions, no protocol's adapter, no I/O.

What a model or its answer could tell apart is carried or refused with the name of its field, never dropped. What
only helps a provider (caching, tiers, labels) is left out where the other has no word for it, and named.
"""
