"""The files of one node: posix.db, bans.db, trust.db, and what the agent remembers beside them."""
