"""Reads posix.db for tools, by docs/posix-db.md alone: shares no code with the C reader, so each checks the other."""
