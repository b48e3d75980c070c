"""Whoever speaks OpenAI's protocol: vLLM, Ollama, Mistral, Groq, the compatible endpoints of Gemini and Bedrock.

The base URL is all that differs. What such a provider does not speak it says itself, with a 404.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.providers.openai import OPENAI

OPENAI_COMPATIBLE: Final = replace(OPENAI, name="openai_compatible")
