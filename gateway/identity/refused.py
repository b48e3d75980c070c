"""Why a caller was not let in: one fixed sentence for the caller, one reason for the audit.

Nothing a caller reads tells which check failed (RFC 6750 section 3.1 asks for no more than the code).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gateway.call import Refusal, RefusalCode

Reason = Literal[
    "no_credential", "scheme_unknown", "two_authorization_headers", "two_credentials", "token_in_query",
    "header_too_large", "not_compact", "not_base64url", "not_json", "duplicate_member", "header_unusable",
    "type_not_allowed", "algorithm_not_allowed", "critical_unknown", "key_in_header", "issuer_unknown", "key_unknown",
    "keys_unavailable", "signature_wrong", "claim_missing", "claim_unusable", "expired", "not_yet_valid",
    "audience_wrong", "lifetime_too_long", "id_token", "bound_token", "delegated_token", "subject_unusable",
    "agent_not_allowed", "key_wrong", "key_expired", "wrong_listener", "run_token_wrong", "run_token_expired",
    "run_unknown", "run_header_unusable", "run_header_differs", "revoked", "chain_too_long", "chain_cyclic",
    "proof_missing", "proof_wrong", "proof_replayed", "proxy_wrong", "certificate_unusable", "two_proofs",
    "certificate_wrong", "nonce_wanted",
]  # fmt: skip

_BAD_REQUEST: Final = frozenset({
    "two_authorization_headers", "two_credentials", "token_in_query", "run_header_unusable", "run_header_differs",
    "two_proofs",
})  # fmt: skip
#: the token is good, what it says of the chain is not allowed (facts/policy.md B4 51)
_FORBIDDEN: Final = frozenset({"chain_too_long", "chain_cyclic"})
PROOF_ALGORITHMS: Final = ("ES256", "ES384", "EdDSA", "PS256", "RS256")
_WITHOUT_CREDENTIAL: Final = frozenset({"no_credential", "scheme_unknown"})

_MESSAGES: Final = {
    400: "send one credential only, in one header, and none in the query",
    403: "the token's chain of actors is not accepted here",
    401: "send a valid credential: a token, an API key or a run token as bearer",
    431: "the credential is too large",
    503: "the credential cannot be checked now; ask again later",
}
_RUN_MESSAGE: Final = (
    "`oncegate-run` must be 1 to 128 of A-Z a-z 0-9 . _ : -, `oncegate-attempt` a number, both of the run token's run"
)


class CredentialRefused(Exception):  # noqa: N818 - what was found out about a credential
    """A credential does not hold; `reason` is for the audit and never for the caller.

    `nonce` is what a proof must hold when it is shown again (RFC 9449 section 9).
    """

    def __init__(self, reason: Reason, nonce: str | None = None) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.nonce = nonce


@dataclass(eq=False, slots=True, kw_only=True)
class Unidentified(Refusal):
    """The refusal of a caller. `reason` is for the audit only, `challenge` for `WWW-Authenticate`."""

    reason: Reason
    challenge: str | None = None
    #: for the header `DPoP-Nonce`
    nonce: str | None = None


def unidentified(reason: Reason, nonce: str | None = None) -> Unidentified:
    """Return the refusal for `reason`: 400, 401, 431 or 503 with its fixed sentence."""
    code: RefusalCode = "unauthenticated"
    status = 401
    if reason in _BAD_REQUEST:
        code, status = "bad_request", 400
    elif reason in _FORBIDDEN:
        code, status = "denied", 403
    elif reason == "header_too_large":
        code, status = "too_large", 431
    elif reason == "keys_unavailable":
        code, status = "unavailable", 503
    message = _RUN_MESSAGE if reason.startswith("run_header") else _MESSAGES[status]
    challenge = None
    if status == 401:  # noqa: PLR2004 - RFC 9110 15.5.2
        challenge = "Bearer" if reason in _WITHOUT_CREDENTIAL else 'Bearer error="invalid_token"'
        if reason.startswith(("proof", "nonce")):  # RFC 9449 sections 7.1 and 9
            error = "invalid_dpop_proof" if nonce is None else "use_dpop_nonce"
            challenge = f'DPoP error="{error}", algs="{" ".join(PROOF_ALGORITHMS)}"'
    final = code != "unavailable"
    return Unidentified(
        code=code, message=message, status=status, final=final, reason=reason, challenge=challenge, nonce=nonce
    )
