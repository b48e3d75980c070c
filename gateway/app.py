"""The composition root: builds every part once from the configuration and mounts the protocols."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from typing import TYPE_CHECKING, Self

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse

from durable.seal import Keyring
from gateway.approving import Approving
from gateway.asking import Asking
from gateway.blocking import Blocks
from gateway.budgets.charging import Budgets
from gateway.checkpoints import Checkpoints
from gateway.config import timeout_seconds, upstream_timeouts
from gateway.content import Contents
from gateway.deciding import Deciding
from gateway.definitions.book import Book
from gateway.detection import Detection
from gateway.divergence import Divergences
from gateway.entries import AdapterEntry
from gateway.forked import reading
from gateway.front import Door, Front
from gateway.given import Giving
from gateway.history import Histories
from gateway.housekeeping import Housekeeping
from gateway.identify import Doorkeeper
from gateway.identity.authenticator import Authenticator
from gateway.invoking import Invoker
from gateway.managed import ManagedDesk
from gateway.mcp.servers import McpServers
from gateway.metrics import Metrics
from gateway.models_entry import ModelsEntry
from gateway.oauth.resource import WELL_KNOWN, ProtectedResource
from gateway.oauth.subjects import KEYS_PATH, Vouching
from gateway.otlp import OTLP, OtlpSink
from gateway.outbox import Outbox
from gateway.outward import Redaction
from gateway.pipeline import Pipeline
from gateway.planning import Planning
from gateway.policies import Policies
from gateway.prices import price_of
from gateway.protocols.anthropic_messages import MessagesAdapter
from gateway.protocols.openai_chat import ChatAdapter
from gateway.protocols.openai_embeddings import EmbeddingsAdapter
from gateway.protocols.openai_responses import ResponsesAdapter
from gateway.providers.chosen import provider_of
from gateway.providers.target import ModelTarget
from gateway.recognizing import profiles_of, recognizers_of
from gateway.resilience.cache import Answers
from gateway.resilience.fallback import falling_back
from gateway.resilience.gates import Gates, upstreams_of
from gateway.resilience.rules import Rulebook
from gateway.responses_entry import ResponsesEntry
from gateway.restoring import Originals
from gateway.runs import RunDesk
from gateway.runs_entry import RunsEntry
from gateway.store import open_store
from gateway.telemetry import Telemetry
from gateway.unserved import unserved
from gateway.upstream.http import HttpUpstream
from gateway.verifying import Verifying
from policy.decision import Question
from policy.resources import resource_name
from redaction import redactor
from redaction.finding import Shape
from redaction.masking import operator as masking_operator
from redaction.model import default_folder, verify_all
from redaction.worker import PresidioInWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from durable.records import CallRecord
    from durable.step import Outcome
    from durable.store import Store
    from gateway.call import Call, Exchange, ToolUse
    from gateway.config import Config, Model
    from gateway.front import Entry
    from gateway.given import Given
    from policy.decision import Principal
    from redaction.profile import Profile
    from redaction.recognizers import Recognizers

_log = logging.getLogger("oncegate.app")
#: Whose cursors hold the audit back from being pruned.
SINKS = (OTLP,)


class Gateway:
    """Everything that runs: build it with `open`, serve `front` to agents, end it with `aclose`."""

    config: Config
    journal: Store
    policies: Policies
    authenticator: Authenticator
    desk: RunDesk
    managed: ManagedDesk
    blocks: Blocks
    redaction: Redaction
    profiles: Mapping[str, Profile]
    recognizers: Recognizers
    budgets: Budgets
    approving: Approving
    pipeline: Pipeline
    gates: Gates
    checkpoints: Checkpoints
    front: Front
    _detection: Detection
    _housekeeping: Housekeeping
    _invoker: Invoker
    _telemetry: Telemetry
    _servers: McpServers
    _book: Book
    _chat: ChatAdapter
    _messages: MessagesAdapter
    _responses: ResponsesAdapter
    _embeddings: EmbeddingsAdapter
    _giving: Giving
    _histories: Histories
    _verifying: Verifying

    def __init__(self, config: Config) -> None:
        self.config = config
        self._upstreams: list[HttpUpstream] = []
        self.outbox: Outbox | None = None
        self.metrics = Metrics(upstreams_of(config), price_of(config.models))
        self.ready = False

    @classmethod
    async def open(
        cls, config: Config, *, fatal: Callable[[str], None], crash_point: Callable[[str], None] | None = None
    ) -> Self:
        """Return the running parts.

        Raises `PolicyInvalid`, `ProfilesInvalid`, `RecognizersInvalid`, `ConfigInvalid`, `SecretUnavailable`,
        `ModelUnusable`, `JournalRefused`, `DetectionError`: each says what to do.
        """
        gateway = cls(config)
        secrets = tuple(reference.read_key() for reference in config.secret_keys)
        folder = config.redaction.model_folder or default_folder()
        gateway.profiles = profiles = profiles_of(config)
        domains = {"default", *config.trust_domains}
        gateway.policies = Policies(
            config.policies_folder, profiles=profiles, domains=domains, named=config.policy_sets,
            mode=config.policy_mode, candidate=config.candidate_folder,
        )  # fmt: skip
        gateway.recognizers = wanted = await asyncio.to_thread(recognizers_of, config)
        languages = config.redaction.languages
        version = f"{await asyncio.to_thread(verify_all, folder, languages)}/{wanted.digest}"
        gateway._detection = Detection(
            PresidioInWorker(folder, wanted, languages), version, seconds_max=config.redaction.seconds_max,
            waiting_max=config.redaction.waiting_max,
        )  # fmt: skip
        gateway.redaction = Redaction(gateway._detection, profiles, config.redaction.default_profile, languages)
        gateway._telemetry = Telemetry.apart(config.telemetry.otlp_url, gateway.metrics)
        async with gateway._detection.loading(early=gateway.redaction.inspects(gateway.policies.profiles())):
            await gateway._begin(secrets, fatal, crash_point)
        if any(profile.masks for profile in profiles.values()):
            await asyncio.to_thread(masking_operator)
        gateway.ready = True
        return gateway

    async def _begin(
        self, secrets: tuple[bytes, ...], fatal: Callable[[str], None], crash_point: Callable[[str], None] | None
    ) -> None:
        config = self.config
        self.journal = await open_store(
            config, Keyring(secrets), fatal=fatal, crash_point=self.metrics.timing(crash_point)
        )
        if config.telemetry.content == "redacted":
            self._telemetry.content = Contents(self.journal, self.redaction.profile_of).of
        self.journal.audit_best_effort = config.telemetry.audit == "best_effort"
        self._book = Book(self.journal, config.mcp_servers)
        await self._book.open()
        self.blocks = Blocks(self.journal)
        await self.blocks.open()
        await self._compose(secrets)
        self.checkpoints = await Checkpoints.open(self.journal, config, SINKS if config.telemetry.otlp_url else ())
        if config.telemetry.otlp_url is not None:
            self.outbox = Outbox(self.journal, OtlpSink.apart(config.telemetry.otlp_url))
            self.outbox.start()
        self.policies.watch()
        self._housekeeping = Housekeeping(self.journal, config)
        self._housekeeping.start()
        self._invoker.start()
        self._verifying.start()

    async def aclose(self) -> None:
        """Finish what is under way, bounded, and let everything go."""
        self.ready = False
        await self._invoker.aclose()
        await self._verifying.aclose()
        await self.pipeline.drain(self.config.limits.drain_seconds_max)
        await self._servers.aclose()
        await self._book.aclose()
        await self.blocks.aclose()
        for upstream in self._upstreams:
            await upstream.aclose()
        await self.policies.aclose()
        await self.authenticator.aclose()
        await self._detection.aclose()
        await self._housekeeping.aclose()
        await self.checkpoints.aclose()
        if self.outbox is not None:  # the last checkpoint goes with it
            await self.outbox.aclose()
        await asyncio.to_thread(self._telemetry.close)  # it may read the journal still
        await self.journal.aclose()

    @property
    def traces_lost(self) -> int:
        """How many calls' traces were not kept or not delivered."""
        return self._telemetry.dropped + self._telemetry.lost

    async def given(self, call: CallRecord, tree: object) -> Given:
        """Return an outcome an operator gives. Raises `Unusable`, `Refusal`, `DetectionError`."""
        return await self._giving.outcome(call, tree, "operator")

    async def unveil(self, scope: str, tree: object, entities: frozenset[str]) -> object:
        """Return what an approver may see of a redacted tree: the originals of these entities (`*`: of all)."""
        found = await Originals(self.journal, scope).of(redactor.tokens_in(tree, Shape(), every=True))
        wanted = frozenset[str]() if "*" in entities else entities
        return redactor.restore(tree, found, entities=wanted, pointer="", shape=Shape())[0]

    async def _compose(self, secrets: tuple[bytes, ...]) -> None:
        config = self.config
        self.authenticator = await Authenticator.open(
            config, secrets=secrets, run_principal=self._run_principal, first=self.journal.first_seen
        )
        self._histories = Histories(self.journal, label_seconds=config.runs.label_ttl_seconds)
        self.desk = RunDesk(
            runs=self.journal, journal=self.journal, policies=self.policies,
            mint=self._mint,
            public_url=config.public_url, seconds_max=config.runs.seconds_max, redaction=self.redaction,
            histories=self._histories,
        )  # fmt: skip
        self.managed = ManagedDesk(
            managed=self.journal, runs=self.journal, journal=self.journal, policies=self.policies,
            redaction=self.redaction, agents=config.agents, histories=self._histories,
        )  # fmt: skip
        self._invoker = Invoker(
            config, store=self.journal, desk=self.managed, redaction=self.redaction,
            mint=self._mint,
            trace=self._telemetry.context, closed=self.blocks.of_caller,
        )  # fmt: skip
        targets = {name: self._target(model) for name, model in config.models.items()}
        self._chat = ChatAdapter(targets, depth_max=config.limits.depth_max)
        self._messages = MessagesAdapter(targets, depth_max=config.limits.depth_max)
        self._responses = ResponsesAdapter(targets, depth_max=config.limits.depth_max)
        self._embeddings = EmbeddingsAdapter(targets, depth_max=config.limits.depth_max)
        domains = {resource_name("model", name): model.domain for name, model in config.models.items()}
        domains |= {resource_name("mcp", name): server.domain for name, server in config.mcp_servers.items()}
        self._giving = Giving(self.journal, self.redaction, self.policies, domains, self._tools_asked)
        asking = Asking(self.policies)
        self._verifying = Verifying(self.journal, self._giving, config.mcp_servers, asking)
        self.pipeline = self._path()
        resource = ProtectedResource(config)
        vouching = Vouching(config.public_url, secrets)
        keeper = Doorkeeper(self.authenticator, self.desk, self.journal, resource, self.blocks)
        self._servers = McpServers(
            config, self.policies, self.pipeline, Keyring(secrets), self._book, resource=resource,
            note_scopes=keeper.note_scopes, may_send=self.journal.may_send,
            shown_key=hmac.digest(secrets[0], b"oncegate/shown-names/1", "sha256"), vouching=vouching,
            blocks=self.blocks, store=self.journal,
        )  # fmt: skip
        asking.serve(self._servers.adapter.call_of, self.pipeline.handle)
        door = Door(
            hosts=config.host_names, body_bytes_max=config.limits.body_bytes_max,
            header_bytes_max=config.limits.header_bytes_max,
        )  # fmt: skip
        self.front = Front(
            door, keeper.identify, self._entries(), self._application(resource, vouching), blocks=self.blocks,
            note_withheld=keeper.note_withheld,
        )  # fmt: skip

    def _mint(self, run: str, attempt: int, expires: float) -> str:
        return self.authenticator.mint_run_token(run_id=run, attempt=attempt, expires=expires)

    def _path(self) -> Pipeline:
        config, price = self.config, price_of(self.config.models)
        self.budgets = Budgets(config, price)
        self.approving = Approving(self.journal, config.approvals)
        self.gates = Gates(config.resilience, upstreams_of(config))
        divergences = Divergences(
            self.journal, self.journal, agents=config.agents, on_divergence=config.runs.on_divergence
        )
        return Pipeline(
            deciding=Deciding(
                policies_of=self.desk.policies_of, journal=self.journal, histories=self._histories,
                divergences=divergences, closed=self.blocks.of_call,
                default_profile=self.redaction.default_profile.name,
            ),
            journal=self.journal, redaction=self.redaction,
            telemetry=self._telemetry, limits=config.limits,
            planning=Planning(
                journal=self.journal, redaction=self.redaction, telemetry=self._telemetry,
                rulebook=Rulebook(config.resilience), gates=self.gates,
                policies_of=self.desk.policies_of, price=price, budgets=self.budgets,
                answer_bytes_max=config.limits.answer_bytes_max, closed=self.blocks.of_call, late=self.blocks.of_late,
            ),
            answers=Answers(config.resilience),
            divergences=divergences,
            approving=self.approving, doubts=self._verifying, budgets=self.budgets,
        )  # fmt: skip

    def _tools_asked(self, outcome: Outcome) -> Sequence[ToolUse]:
        models = (self._chat, self._messages, self._responses)
        return [use for one in models for use in one.tools_asked(outcome)]

    async def _run_principal(self, run_id: str, attempt: int) -> tuple[Principal, Principal] | None:
        return await self.desk.principal_of(run_id, attempt)  # the desk is made after the authenticator

    def _entries(self) -> Callable[[str], Entry | None]:
        chat = AdapterEntry(self._chat, self._reading(self._chat.read), self.pipeline)
        messages = AdapterEntry(self._messages, self._reading(self._messages.read), self.pipeline)
        responses = ResponsesEntry(self._responses, self._reading(self._responses.read), self.pipeline, self.journal)
        embeddings = AdapterEntry(self._embeddings, self._embeddings.read, self.pipeline)
        models = ModelsEntry({name: model.domain for name, model in self.config.models.items()}, self._may_call)
        runs = RunsEntry(self.desk, self.managed, self.config.limits.depth_max)
        fixed: dict[str, Entry] = {
            "/v1/chat/completions": chat, "/chat/completions": chat, "/v1/models": models, "/models": models,
            "/v1/messages": messages, "/messages": messages, "/v1/responses": responses, "/responses": responses,
            "/v1/embeddings": embeddings, "/embeddings": embeddings, "/runs": runs,
        }  # fmt: skip

        def entry_of(path: str) -> Entry | None:
            found = fixed.get(path)
            if found is not None:
                return found
            if path == "/mcp" or path.startswith("/mcp/"):
                return self._servers
            if path.startswith(("/v1/messages/", "/messages/")):
                return messages
            if path.startswith(("/v1/models/", "/models/")):
                return models
            if path.startswith(("/v1/responses/", "/responses/")):
                return responses
            return runs if path.startswith("/runs/") else unserved(path)

        return entry_of

    def _reading(self, read: Callable[[Exchange], Call]) -> Callable[[Exchange], Call]:
        """Return `read` of a model adapter, its calls knowing a fork's other model and those asked instead."""
        chains = {name: model.fallback for name, model in self.config.models.items()}
        return reading(falling_back(read, chains), self.desk.other_model)

    def _target(self, model: Model) -> ModelTarget:
        resource = resource_name("model", model.name)
        times = upstream_timeouts(self.config, resource)
        upstream = HttpUpstream(model.url, connect_seconds_max=times.connect_seconds_max)
        self._upstreams.append(upstream)
        secret = model.credential
        return ModelTarget(
            name=model.name, domain=model.domain, provider=provider_of(model), upstream=upstream,
            upstream_model=model.sent_name, credential=lambda: None if secret is None else secret.read_header(),
            betas=None if "*" in model.betas else frozenset(model.betas),
            keeps_thinking=model.signed_thinking == "keep", output_tokens_max=model.output_tokens_max,
            seconds_max=timeout_seconds(self.config, resource), origin=model.url.rstrip("/"),
            objects=frozenset(model.objects), stream_usage=model.stream_usage,
        )  # fmt: skip

    def _may_call(self, principal: Principal, model: str) -> bool:
        question = Question(
            principal=principal, resource=resource_name("model", model),
            resource_domain=self.config.models[model].domain, action="call", time=time.time(), certain_only=True,
        )  # fmt: skip
        if self.blocks.of_resource(question.resource, question.resource_domain):
            return False
        return self.policies.current.decide(question).effect != "deny"

    def _application(self, resource: ProtectedResource, vouching: Vouching) -> FastAPI:
        application = FastAPI(title="Oncegate", docs_url=None, redoc_url=None, openapi_url=None)

        async def healthy() -> PlainTextResponse:
            return PlainTextResponse("ok\n")

        async def readiness() -> JSONResponse:
            state = {"ready": self.ready, **self.policies.state()}
            return JSONResponse(state, status_code=200 if self.ready else 503)

        async def protected(path: str) -> JSONResponse:
            said = resource.metadata(path)
            known = {"cache-control": "max-age=300", "access-control-allow-origin": "*"}
            missing = {"error": "no such protected resource"}
            return JSONResponse(missing if said is None else said, 404 if said is None else 200, known)

        async def keys() -> JSONResponse:
            return JSONResponse(vouching.key_set(), headers={"cache-control": "max-age=300"})

        application.add_api_route(KEYS_PATH, keys)
        application.add_api_route(WELL_KNOWN + "{path:path}", protected)
        application.add_api_route("/healthz", healthy)
        application.add_api_route("/readyz", readiness)
        return application
