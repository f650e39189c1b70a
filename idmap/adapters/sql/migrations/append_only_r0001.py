"""The triggers of the first schema: what the database refuses, whoever asks (laws 2 and 12).

Rows of the ledger and of the record are never deleted or replaced, their issued columns never
change, retirement is written once, counters and next numbers only rise, and no account or group
carries a number that the ledger did not issue to it. Frozen with migration r0001; a later
migration drops and makes triggers by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_NEVER_DELETED: Final = (
    "ledger_numbers",
    "ledger_names",
    "ranges",
    "groups",
    "posix_groups",
    "accounts",
    "rule_versions",
    "counters",
    "realm",
    "changes",
)

_NEVER_CHANGED: Final[Mapping[str, str]] = {
    "ledger_numbers": "kind, number, owner, range_name, rule, issued_at, author, plan",
    "ledger_names": "name, kind, owner, issued_at, author, plan",
    "ranges": "name, purpose, first, last",
    "groups": "group_id, issuer, path",
    "posix_groups": "group_id, name, gid_number",
    "accounts": "account_id, username, uid_number",
    "rule_versions": "version, document, saved_at, author",
    "counters": "name",
    "realm": "realm_id, salt, created",
    "changes": "sequence, at, author, reason, plan, action, commitment, chain",
    "change_bodies": "sequence, salt, body",
}
"""Bodies of changes may be deleted (erasure), never rewritten."""

_ONLY_RISES: Final[Mapping[str, str]] = {"ranges": "next_number", "counters": "value"}

_WRITTEN_ONCE: Final[Mapping[str, str]] = {
    "ledger_numbers": "retired_at",
    "ledger_names": "retired_at",
}

_NEVER_REPLACED: Final[Mapping[str, str]] = {
    "ledger_numbers": "kind = NEW.kind AND number = NEW.number",
    "ledger_names": "name = NEW.name",
    "rule_versions": "version = NEW.version",
    "accounts": "account_id = NEW.account_id OR username = NEW.username"
    " OR uid_number = NEW.uid_number",
    "posix_groups": "group_id = NEW.group_id OR name = NEW.name OR gid_number = NEW.gid_number",
    "changes": "sequence = NEW.sequence",
}
"""SQLite's INSERT OR REPLACE deletes the old row without asking a DELETE trigger."""

_ISSUED_FIRST: Final[Mapping[str, str]] = {
    "accounts": "kind = 'uid' AND number = NEW.uid_number"
    " AND owner = 'account:' || CAST(NEW.account_id AS TEXT)",
    "posix_groups": "kind = 'gid' AND number = NEW.gid_number"
    " AND owner = 'group:' || CAST(NEW.group_id AS TEXT)",
}


def trigger_statements(dialect: str) -> Iterator[str]:
    """The statements for `sqlite` or `postgresql`."""
    match dialect:
        case "sqlite":
            yield from _sqlite()
        case "postgresql":
            yield from _postgresql()
        case _:
            raise NotImplementedError(dialect)


def _sqlite() -> Iterator[str]:
    for table in _NEVER_DELETED:
        yield _sqlite_trigger(table, "never_deleted", "DELETE")
    for table, columns in _NEVER_CHANGED.items():
        yield _sqlite_trigger(table, "never_changed", f"UPDATE OF {columns}")
    for table, column in _ONLY_RISES.items():
        yield _sqlite_trigger(
            table, "only_rises", f"UPDATE OF {column}", f"NEW.{column} < OLD.{column}"
        )
    for table, column in _WRITTEN_ONCE.items():
        condition = f"OLD.{column} IS NOT NULL"
        yield _sqlite_trigger(table, "written_once", f"UPDATE OF {column}", condition)
    for table, same in _NEVER_REPLACED.items():
        condition = f"EXISTS (SELECT 1 FROM {table} WHERE {same})"
        yield _sqlite_trigger(table, "never_replaced", "INSERT", condition)
    for table, issued in _ISSUED_FIRST.items():
        condition = f"NOT EXISTS (SELECT 1 FROM ledger_numbers WHERE {issued})"
        yield _sqlite_trigger(table, "issued_first", "INSERT", condition)


def _sqlite_trigger(table: str, rule: str, event: str, condition: str = "1") -> str:
    return (
        f"CREATE TRIGGER {table}_{rule} BEFORE {event} ON {table} WHEN {condition} "
        f"BEGIN SELECT RAISE(ABORT, '{table}: {rule}'); END"
    )


def _postgresql() -> Iterator[str]:
    yield (
        "CREATE FUNCTION idmap_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION '%: %', TG_TABLE_NAME, TG_NAME "
        "USING ERRCODE = 'integrity_constraint_violation'; END$$"
    )
    for table in _NEVER_DELETED:
        yield _postgresql_trigger(table, "never_deleted", "DELETE")
        yield (
            f"CREATE TRIGGER {table}_never_truncated BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION idmap_refuse()"
        )
    for table, columns in _NEVER_CHANGED.items():
        yield _postgresql_trigger(table, "never_changed", f"UPDATE OF {columns}")
    for table, column in _ONLY_RISES.items():
        condition = f"NEW.{column} < OLD.{column}"
        yield _postgresql_trigger(table, "only_rises", f"UPDATE OF {column}", condition)
    for table, column in _WRITTEN_ONCE.items():
        condition = f"OLD.{column} IS NOT NULL"
        yield _postgresql_trigger(table, "written_once", f"UPDATE OF {column}", condition)
    for table, issued in _ISSUED_FIRST.items():
        yield (
            f"CREATE FUNCTION idmap_{table}_issued_first() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN IF NOT EXISTS (SELECT 1 FROM ledger_numbers WHERE {issued}) THEN "
            f"RAISE EXCEPTION '{table}: issued_first' "
            "USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN NEW; END$$"
        )
        yield (
            f"CREATE TRIGGER {table}_issued_first BEFORE INSERT ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION idmap_{table}_issued_first()"
        )


def _postgresql_trigger(table: str, rule: str, event: str, condition: str = "true") -> str:
    return (
        f"CREATE TRIGGER {table}_{rule} BEFORE {event} ON {table} FOR EACH ROW "
        f"WHEN ({condition}) EXECUTE FUNCTION idmap_refuse()"
    )
