"""`idmap sign`: holds the keys, answers typed requests on a local socket, refuses on its own (law 14)."""
