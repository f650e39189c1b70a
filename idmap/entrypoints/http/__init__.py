"""`idmap serve`: REST, resolve and the event stream. Reads strangers' input; holds no key (law 14)."""
