"""A rehearsed plan carried out: one short transaction per batch, and a pause after each.

Every batch first makes sure that what the plan rests on is what was rehearsed: the record of changes tells what
was committed since, and recording the listing again must change the very people it changed then. Bans and credentials
are no part of it; they go on while a run does (but for bans where shared accounts change hands). When something else
moved, nothing of that batch is kept and the caller rehearses anew, from what is there by now.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from idmap.application.ports import Author, Registry, RegistryWriter
from idmap.application.provision_batches import BATCH, Batch, cut
from idmap.application.provision_steps import Observed, Rehearsed, apply_changes
from idmap.domain.plans import JoinAccount, LeaveAccount

_NO_PART_OF_A_PLAN: Final = frozenset(
    {
        "add_ban",
        "lift_ban",
        "add_credential",
        "revoke_credential",
        "add_range",
        "raise_counter",
        "raise_range",
        "record_behind",
        "withhold",
    }
)
"""Actions on the record that no plan rests on. Whatever is not named here does move a plan."""

_MOVES_LINKS: Final = frozenset({"add_ban"})
"""What moves a plan that lets somebody into a shared account or out of one: a link and a ban do not mix."""

_PAGE: Final = 500

_PAUSE_SECONDS: Final = 0.01
"""A waiting writer asks every few milliseconds (adapters/sql/engine.py)."""


def let_others_write() -> None:
    """The pause between two batches."""
    time.sleep(_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Pace:
    """How gently a run writes."""

    batch: int = BATCH
    """How much is kept in one transaction; one is a new account or a recorded person."""
    pause: Callable[[], None] = let_others_write
    """Called between two transactions, while no lock is held."""


class _Moved(Exception):
    """What the plan rests on is not what was rehearsed; ends a batch's transaction without keeping anything."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How far an application came."""

    complete: bool
    batches: int
    changes: int


def apply_in_batches(
    registry: Registry,
    author: Author,
    observed: Observed,
    rehearsed: Rehearsed,
    *,
    batch: int,
    between: Callable[[int], None],
) -> Kept:
    """Keeps facts and changes batch by batch, until all are kept or something moved.

    `between` is called with the number of changes kept so far, whenever no lock is held between two batches.
    Raises Conflict and Unavailable as the registry does; the batches before that one stay.
    """
    expected, changes = rehearsed.last_change, 0
    linking = any(isinstance(one, JoinAccount | LeaveAccount) for one in rehearsed.plan.changes)
    ignored = _NO_PART_OF_A_PLAN - _MOVES_LINKS if linking else _NO_PART_OF_A_PLAN
    batches = cut(rehearsed.plan, rehearsed.recorded, rehearsed.owners, batch)
    for number, part in enumerate(batches):
        if number:
            between(changes)
        try:
            with registry.write(author) as writer:
                _require_unmoved(writer, expected, ignored)
                _keep(writer, observed, part)
                expected = writer.last_change()
        except _Moved:
            return Kept(False, number, changes)
        changes += len(part.changes)
    return Kept(True, number + 1, changes)


def _keep(writer: RegistryWriter, observed: Observed, batch: Batch) -> None:
    for listing, people in zip(observed.listings, batch.recorded, strict=True):
        if writer.record_listing(listing, only=people) != people:
            raise _Moved
    apply_changes(writer, batch.changes)


def _require_unmoved(writer: RegistryWriter, expected: int, ignored: frozenset[str]) -> None:
    last = writer.last_change()
    while expected < last:
        entries = writer.changes(after=expected, limit=_PAGE)
        if not entries or any(entry.action not in ignored for entry in entries):
            raise _Moved
        expected = entries[-1].sequence
