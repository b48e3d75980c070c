"""Whoever speaks OpenAI's protocol: vLLM, Ollama, Mistral, Groq, the compatible endpoints of Gemini and Bedrock.

The base URL differs, and the limit of output tokens has the older name, which all of them know. What such a
provider does not speak it says itself, with a 404.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.providers.openai import OPENAI

OPENAI_COMPATIBLE: Final = replace(OPENAI, name="openai_compatible", limit_name="max_tokens")
