"""What a supervised command gets to see: the gateway's URLs and its run token, and no other key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.checkpoints import signing_key_path
from gateway.cli.output import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from gateway.admin.parts import OpenedRun
    from gateway.config import Config
    from gateway.secrets import SecretReference

#: Keys with which an agent could go round the gateway, and settings that would lead it elsewhere.
PROVIDER_VARIABLES = frozenset(
    {
        "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID",
        "OPENAI_API_BASE", "OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS",
        "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "AZURE_OPENAI_API_KEY", "AZURE_API_KEY", "AZURE_OPENAI_AD_TOKEN",
        "GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY",
        "MISTRAL_API_KEY", "GROQ_API_KEY", "COHERE_API_KEY", "CO_API_KEY", "TOGETHER_API_KEY", "TOGETHERAI_API_KEY",
        "OPENROUTER_API_KEY", "DEEPSEEK_API_KEY", "XAI_API_KEY", "PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY",
        "FIREWORKS_API_KEY", "CEREBRAS_API_KEY", "REPLICATE_API_TOKEN", "HF_TOKEN", "HUGGINGFACE_API_KEY",
        "AWS_BEARER_TOKEN_BEDROCK", "DASHSCOPE_API_KEY", "MOONSHOT_API_KEY", "NVIDIA_API_KEY", "AI21_API_KEY",
    }
)  # fmt: skip


def environment(inherited: Mapping[str, str], opened: OpenedRun, secret: Iterable[str]) -> dict[str, str]:
    """Return the child's environment: `inherited` without keys and the names in `secret`, with the run's own."""
    out = PROVIDER_VARIABLES | frozenset(secret)
    kept = {name: value for name, value in inherited.items() if name not in out}
    return kept | {
        "OPENAI_BASE_URL": opened.openai_base_url,
        "OPENAI_API_KEY": opened.token,
        "ANTHROPIC_BASE_URL": opened.anthropic_base_url,
        "ANTHROPIC_AUTH_TOKEN": opened.token,
        "ONCEGATE_MCP_URL": opened.mcp_url,
        "ONCEGATE_RUN": opened.id,
    }


def secret_variables(config: Config) -> set[str]:
    """Return the environment variables from which the configuration takes secrets."""
    return {reference.place for reference in _references(config) if reference.kind == "env"}


def check_reach(config: Config) -> None:
    """Refuse to start a child that could read key, state or keys file, or write policies.

    Such a child could make itself tokens and rules. It runs as the user who calls this. Not checked
    in development. Raises `Failure`.
    """
    if config.development:
        return
    for path in _readable_never(config):
        if os.access(path, os.R_OK):
            raise Failure(USAGE, _ADVICE.format(what="read", path=path))
    for path in (config.policies_folder, config.file):
        if os.access(path, os.W_OK):
            raise Failure(USAGE, _ADVICE.format(what="write", path=path))


_ADVICE = (
    "the command would run as a user who can {what} `{path}`: start it as another user with `--url` and `--token`,"
    " or set `development: true`"
)


def _readable_never(config: Config) -> Iterator[Path]:
    yield from (key.path for key in config.secret_keys if key.path is not None)
    yield config.state.path
    yield signing_key_path(config)
    yield from (domain.api_keys_file for domain in config.trust_domains.values() if domain.api_keys_file is not None)


def _references(config: Config) -> Iterator[SecretReference]:
    yield from config.secret_keys
    yield from (model.credential for model in config.models.values() if model.credential is not None)
    yield from (server.credential.reference for server in config.mcp_servers.values() if server.credential is not None)
