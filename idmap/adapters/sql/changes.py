"""The record of changes: an append-only chain of salted commitments (law 12).

One leaf per change. What is committed is the canonical JSON of the whole entry: sequence, time,
author, reason, plan, action and body. `commitment = SHA-256(salt ‖ entry)`, `chain =
SHA-256(previous chain ‖ commitment)`, the first link starting from 32 zero bytes. The salt and
the body lie in a table of their own: deleting that row erases what the entry said of a person,
the commitment then tells nothing, and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select

from idmap.adapters.sql.high_water import Anchor, Head
from idmap.adapters.sql.tables import CHANGE_BODIES, CHANGES
from idmap.application.ports import Author, ChangeEntry
from idmap.domain.errors import Conflict
from idmap.domain.reasons import Reason

_FIRST_LINK: Final = bytes(32)
_SALT_BYTES: Final = 16
"""128 bits: the body cannot be guessed and confirmed once its salt is gone."""

_BATCH: Final = 2000

_dump: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
).encode


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no blanks, ASCII. Raises TypeError or ValueError for what is
    no JSON.
    """
    return _dump(value)


def concerned(body: Mapping[str, Any]) -> dict[str, Any]:
    """Whom a body speaks of, for the columns that entries are found by."""
    return {name: body.get(name) for name in ("account_id", "issuer", "subject")}


class ChangeLog:
    """Appends to the record within one write transaction; rows go to the database with `flush`."""

    def __init__(self, connection: Connection, author: Author, at: int) -> None:
        self._connection = connection
        self._author = author
        self._at = at
        self.began: Final = head_of(connection)
        """The head that this transaction found."""
        self._sequence = self.began.sequence
        self._chain = bytes.fromhex(self.began.chain)
        self._leaves: list[dict[str, Any]] = []
        self._bodies: list[dict[str, Any]] = []

    def append(self, action: str, body: Mapping[str, Any]) -> None:
        """Records that `author` did `action`; `body` is plain JSON."""
        self._sequence += 1
        salt, text = secrets.token_bytes(_SALT_BYTES), canonical(body)
        author = self._author
        entry = _entry(
            self._sequence, self._at, author.name, author.reason, author.plan, action, text
        )
        commitment = hashlib.sha256(salt + entry).digest()
        self._chain = hashlib.sha256(self._chain + commitment).digest()
        self._leaves.append(
            {
                "sequence": self._sequence,
                "at": self._at,
                "author": author.name,
                "reason": author.reason,
                "plan": author.plan,
                "action": action,
                "commitment": commitment,
                "chain": self._chain,
            }
        )
        self._bodies.append(
            {"sequence": self._sequence, "salt": salt, "body": text} | concerned(body)
        )

    @property
    def last(self) -> int:
        """The sequence of the newest entry, written or not."""
        return self._sequence

    @property
    def anchor(self) -> Anchor | None:
        """What must be kept outside the database before the commit; None when nothing was appended."""
        if self._sequence == self.began.sequence:
            return None
        return Anchor(self.began, Head(self._sequence, self._chain.hex()))

    @property
    def held_back(self) -> int:
        """How many entries wait for `flush`."""
        return len(self._leaves)

    def flush(self) -> None:
        """Writes what was appended since the last flush."""
        if self._leaves:
            self._connection.execute(insert(CHANGES), self._leaves)
            self._connection.execute(insert(CHANGE_BODIES), self._bodies)
            self._leaves, self._bodies = [], []


def head_of(connection: Connection) -> Head:
    """Where the record ends now."""
    newest = connection.execute(
        select(CHANGES.c.sequence, CHANGES.c.chain).order_by(CHANGES.c.sequence.desc()).limit(1)
    ).first()
    if newest is None:
        return Head(0, _FIRST_LINK.hex())
    return Head(newest.sequence, bytes(newest.chain).hex())


def chain_at(connection: Connection, sequence: int) -> str | None:
    """The chain after that entry in hexadecimal; None when there is no such entry."""
    if sequence == 0:
        return _FIRST_LINK.hex()
    found = connection.scalar(select(CHANGES.c.chain).where(CHANGES.c.sequence == sequence))
    return None if found is None else bytes(found).hex()


def holds(connection: Connection, anchor: Anchor | None) -> bool:
    """Whether the record is one that the anchor knows: it holds one of the two heads. When other hosts write too, the
    newest entry may be any.
    """
    if anchor is None:
        return True
    newest = head_of(connection)
    return newest in {anchor.before, anchor.after} or any(
        chain_at(connection, head.sequence) == head.chain for head in (anchor.after, anchor.before)
    )


def list_changes(connection: Connection, after: int, limit: int) -> tuple[ChangeEntry, ...]:
    """Entries after a sequence number, in order."""
    return tuple(map(entry_of, _rows(connection, after, limit)))


def entry_of(row: Row[*tuple[Any, ...]]) -> ChangeEntry:
    """An entry from a row of `changes` joined with its body."""
    return ChangeEntry(
        sequence=row.sequence,
        at=row.at,
        author=row.author,
        reason=row.reason,
        plan=row.plan,
        action=row.action,
        body=None if row.body is None else json.loads(row.body),
        commitment=row.commitment.hex(),
    )


def verify_changes(connection: Connection) -> int:
    """Recomputes every commitment that still has its body, and the whole chain; gives the number
    of leaves.

    Raises Conflict naming the first entry that is not what was committed, and when a leaf is
    missing.
    """
    chain, sequence = _FIRST_LINK, 0
    for row in _every_row(connection):
        sequence += 1
        if row.sequence != sequence:
            raise _broken(sequence, "it is missing")
        if row.body is not None:
            entry = _entry(
                row.sequence, row.at, row.author, row.reason, row.plan, row.action, row.body
            )
            if hashlib.sha256(row.salt + entry).digest() != row.commitment:
                raise _broken(sequence, "it is not what was committed")
            found = {name: getattr(row, name) for name in ("account_id", "issuer", "subject")}
            if found != concerned(json.loads(row.body)):
                raise _broken(sequence, "it would be found under another name")
        chain = hashlib.sha256(chain + row.commitment).digest()
        if chain != row.chain:
            raise _broken(sequence, "the chain does not hold")
    bodies = connection.scalar(select(func.max(CHANGE_BODIES.c.sequence))) or 0
    if bodies > sequence:
        raise _broken(bodies, "its leaf is missing")
    return sequence


def _entry(
    sequence: int, at: int, author: str, reason: str, plan: str | None, action: str, body: str
) -> bytes:
    """Canonical JSON of the whole entry, put together around the body's own canonical text."""
    return (
        f'{{"action":{_dump(action)},"at":{at},"author":{_dump(author)},"body":{body},'
        f'"plan":{_dump(plan)},"reason":{_dump(reason)},"sequence":{sequence}}}'
    ).encode()


def _rows(connection: Connection, after: int, limit: int) -> list[Row[*tuple[Any, ...]]]:
    statement = (
        select(
            CHANGES,
            *(
                CHANGE_BODIES.c[name]
                for name in ("salt", "body", "account_id", "issuer", "subject")
            ),
        )
        .join_from(CHANGES, CHANGE_BODIES, isouter=True)
        .where(CHANGES.c.sequence > after)
        .order_by(CHANGES.c.sequence)
        .limit(limit)
    )
    return list(connection.execute(statement))


def _every_row(connection: Connection) -> Iterator[Row[*tuple[Any, ...]]]:
    after = 0
    while rows := _rows(connection, after, _BATCH):
        yield from rows
        after = rows[-1].sequence


def _broken(sequence: int, detail: str) -> Conflict:
    return Conflict(Reason.RECORD_BROKEN, f"record of changes, entry {sequence}: {detail}")
