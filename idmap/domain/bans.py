"""A ban: a person's order, on security grounds, to refuse now at every door (law 5).

No guard delays it and no plan lifts it. A ban of an identity closes the account at doors that cannot tell
identities apart (keys, cron, running sessions).
"""

from __future__ import annotations

from dataclasses import dataclass

from idmap.domain.identity import Identity


@dataclass(frozen=True, slots=True)
class Ban:
    """Who is refused, since when and until when (seconds since the epoch; None for no end)."""

    ban_id: int
    account_id: int | None
    identity: Identity | None
    reason: str
    author: str
    since: int
    until: int | None

    def holds(self, at: int) -> bool:
        """Whether it is in force. It begins at once: a node with a slow clock refuses too."""
        return self.until is None or at < self.until
