"""One registry's rows into another database, table by table: the one way in which backups are made and loaded.

Works from and to whatever database the tables exist in. What belongs to the moment (leases) is left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Table, func, insert, select, update

from idmap.adapters.sql.tables import (
    COUNTERS,
    LEASES,
    LEDGER_NAMES,
    LEDGER_NUMBERS,
    METADATA,
    RANGES,
)
from idmap.application.ports import Progress

_BATCH: Final = 2000
_FIRST: Final = (RANGES, LEDGER_NUMBERS, LEDGER_NAMES)
"""A trigger wants a number in the ledger before an account or a group has it."""

COPIED: Final[tuple[Table, ...]] = (
    *_FIRST,
    *(table for table in METADATA.sorted_tables if table not in {*_FIRST, LEASES}),
)
"""In an order in which each refers only to those before it."""


def copy_rows(source: Connection, target: Connection, progress: Progress) -> Mapping[str, int]:
    """Copies every row of one consistent reading into the empty tables of `target`; gives the numbers by table.

    `target` is as the migrations leave it: counters that are there are set, all else is added.
    """
    counts = row_counts(source)
    for table in COPIED:
        done, total = 0, counts[table.name]
        progress(table.name, done, total)
        rows = source.execution_options(yield_per=_BATCH).execute(_in_order(table)).mappings()
        for batch in rows.partitions(_BATCH):
            _write(target, table, [dict(row) for row in batch])
            done += len(batch)
            progress(table.name, done, total)
    return counts


def row_counts(connection: Connection) -> Mapping[str, int]:
    """Rows by table, of the tables that are copied."""
    return MappingProxyType(
        {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in COPIED
        }
    )


def _in_order(table: Table) -> Any:
    return select(table).order_by(*table.primary_key.columns)


def _write(target: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if table is not COUNTERS:
        target.execute(insert(table), rows)
        return
    for row in rows:
        there = update(COUNTERS).where(COUNTERS.c.name == row["name"]).values(value=row["value"])
        if not target.execute(there).rowcount:
            target.execute(insert(COUNTERS).values(row))
