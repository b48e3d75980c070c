"""The configured word for a provider, and the provider it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.providers.anthropic import ANTHROPIC
from gateway.providers.azure_openai import azure_openai
from gateway.providers.openai import OPENAI
from gateway.providers.openai_compatible import OPENAI_COMPATIBLE

if TYPE_CHECKING:
    from gateway.config import Model
    from gateway.providers.provider import Provider

_FIXED: Final = {one.name: one for one in (OPENAI, OPENAI_COMPATIBLE, ANTHROPIC)}


def provider_of(model: Model) -> Provider:
    """Return the provider of a configured model."""
    found = _FIXED.get(model.provider)
    return azure_openai(model.url, model.api_version) if found is None else found
