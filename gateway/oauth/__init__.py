"""OAuth on both sides: the gateway as a resource server, and as a client of the authorization servers of upstreams."""
