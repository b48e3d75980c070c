"""Requirements of authorization: the gateway as a resource server, and as a client of authorization servers."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("OAU-01", "Each MCP endpoint tells whose tokens it takes, under its configured URL.", "RFC 9728 2, 3"),
    Requirement("OAU-02", "A refusal for want of a token says where to learn how to get one.", "RFC 9728 5.1"),
    Requirement(
        "OAU-03", "A token is for us by a configured audience, or for the one endpoint it names.", "RFC 8707 2"
    ),
    Requirement("OAU-04", "Missing scopes are named all at once, and nothing is executed.", "RFC 6750 3.1; MCP"),
    Requirement("OAU-05", "Keys of an issuer known by name come from its own metadata.", "RFC 8414 3"),
    Requirement("OAU-06", "A caller's token never reaches a server.", "MCP security considerations"),
    Requirement("OAU-07", "The official client authorizes itself with what the gateway says.", "issue 5, item 7"),
    Requirement(
        "OAU-08", "A server gets tokens the gateway asked for as itself, kept and got anew in time.", "RFC 6749 4.4"
    ),
    Requirement(
        "OAU-09", "Without a token nothing is sent, and the authorization server is left in peace.", "DESIGN 4"
    ),
    Requirement("OAU-10", "A token is got once for all who wait for it.", "issue 5, item 7"),
    Requirement("OAU-11", "A request is sent again only after the answer of the token check.", "RFC 6750 3; DESIGN 4"),
    Requirement(
        "OAU-12", "A caller's token is exchanged for one that names the caller; no other will do.", "RFC 8693 2"
    ),
    Requirement("OAU-13", "A client may prove itself by a signature instead of a secret.", "RFC 7523 2.2"),
    Requirement(
        "OAU-15",
        "A caller without a signed token is vouched for by the gateway where the file says so, never otherwise.",
        "RFC 8693 2.1; issue 5",
    ),
    Requirement(
        "OAU-14", "Secrets and tokens stand in no log and no audit record; rotated ones count.", "issue 5; common"
    ),
)
