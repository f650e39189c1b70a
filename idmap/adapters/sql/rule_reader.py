"""The part of `RegistryReader` about rules: versions, the one in force, and the pin.

In force is the pinned version, else the newest. A version never changes; what it means does when a group that it names
is renamed, and that it follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, func, select

from idmap.adapters.sql import group_paths
from idmap.adapters.sql.keyset import After, number_of
from idmap.adapters.sql.tables import RULE_PIN, RULE_VERSIONS
from idmap.application.ports import FormerPath, RangeStatus
from idmap.application.questions import Page, RulesPin, RulesVersion
from idmap.domain.errors import NotFound
from idmap.domain.groups import Group
from idmap.domain.issuers import IssuerProfile
from idmap.domain.rule_document import parse_rules
from idmap.domain.rule_places import Places
from idmap.domain.rule_references import OnRecord, check_references
from idmap.domain.rules import EMPTY_RULES, RuleSet, follow_renames, who_names


class RuleReader:
    """Reads rules; `SqlReader` gives the connection, issuers and ranges."""

    @property
    def _db(self) -> Connection:
        raise NotImplementedError

    def issuers(self) -> tuple[IssuerProfile, ...]:
        raise NotImplementedError

    def ranges(self) -> tuple[RangeStatus, ...]:
        raise NotImplementedError

    def rules(self) -> RuleSet:
        found = self._in_force()
        return EMPTY_RULES if found is None else self._parsed(*found)

    def rules_of(self, version: int) -> RuleSet:
        found = self._rules_text(version)
        if found is None:
            raise NotFound(f"version {version} of the rules")
        return self._parsed(*found)

    def rules_pin(self) -> RulesPin | None:
        row = self._db.execute(select(RULE_PIN)).first()
        if row is None:
            return None
        return RulesPin(row.version, row.pinned_at, row.author, row.reason)

    def rules_document(self, version: int | None = None) -> tuple[int, Mapping[str, Any]] | None:
        found = self._rules_text(version)
        return None if found is None else (found[0], json.loads(found[1]))

    def check_rules(self, document: Mapping[str, Any]) -> RuleSet:
        """Raises RuleFault: RULE_INVALID, RANGE_UNKNOWN, CLASS_WITHOUT_PRIMARY_GROUP."""
        rules = parse_rules(document, self._newest_rules() + 1)
        known = OnRecord(
            ranges={status.range.name: status.range.purpose for status in self.ranges()},
            profiles=self.issuers(),
            groups=group_paths.group_ids(self._db),
            renamed=group_paths.renamed_since(self._db, 0),
        )
        check_references(rules, Places(document), known)
        return rules

    def former_paths(self) -> tuple[FormerPath, ...]:
        found = self._in_force()
        if found is None:
            return ()
        written = _parsed_rules(*found)
        return tuple(
            FormerPath(former, now, who_names(written, former))
            for former, now in group_paths.renamed_since(self._db, found[0])
        )

    def page_of_rules(self, *, after: After = None, limit: int = 100) -> Page[RulesVersion]:
        statement = select(RULE_VERSIONS).order_by(RULE_VERSIONS.c.version.desc())
        if after is not None:
            statement = statement.where(RULE_VERSIONS.c.version < number_of(after))
        pin, newest = self.rules_pin(), self._newest_rules()
        in_force = newest if pin is None else pin.version
        rows = self._db.execute(statement.limit(limit + 1)).all()
        found = [_version_of(row, in_force, pin is not None) for row in rows[:limit]]
        return Page(tuple(found), found[-1].version if len(rows) > limit else None)

    def _newest_rules(self) -> int:
        """The newest version saved, 0 without one."""
        return self._db.scalar(select(func.max(RULE_VERSIONS.c.version))) or 0

    def _in_force(self) -> tuple[int, str] | None:
        return self._rules_text(self._db.scalar(select(RULE_PIN.c.version)))

    def _rules_text(self, version: int | None) -> tuple[int, str] | None:
        statement = select(RULE_VERSIONS.c.version, RULE_VERSIONS.c.document)
        if version is not None:
            statement = statement.where(RULE_VERSIONS.c.version == version)
        row = self._db.execute(statement.order_by(RULE_VERSIONS.c.version.desc()).limit(1)).first()
        return None if row is None else (row.version, row.document)

    def _parsed(self, version: int, text: str) -> RuleSet:
        return _parsed_rules(version, text, group_paths.renamed_since(self._db, version))


@lru_cache(maxsize=8)
def _parsed_rules(
    version: int, text: str, renamed: tuple[tuple[Group, Group], ...] = ()
) -> RuleSet:
    """A version never changes, so it is parsed once per process, and once more after a group was renamed."""
    return follow_renames(parse_rules(json.loads(text), version), dict(renamed))


def _version_of(row: Row[*tuple[Any, ...]], in_force: int, is_pinned: bool) -> RulesVersion:
    document = json.loads(row.document)
    return RulesVersion(
        version=row.version,
        saved_at=row.saved_at,
        author=row.author,
        rules=len(document.get("rules", ())),
        classes=len(document.get("classes", ())),
        reason=row.reason,
        in_force=row.version == in_force,
        pinned=is_pinned and row.version == in_force,
    )
