"""Who calls: tokens of configured issuers, API keys, run tokens; everything else is refused."""

from gateway.identity.authenticator import Authenticator, Identified
from gateway.identity.refused import Unidentified

__all__ = ["Authenticator", "Identified", "Unidentified"]
