"""The part of `RegistryWriter` about rules: saving a version, and the pin.

Nodes are told when what is in force demands something else of logins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete

from idmap.adapters.sql.ban_writer import BanWriter
from idmap.adapters.sql.changes import canonical
from idmap.adapters.sql.tables import RULE_PIN, RULE_VERSIONS
from idmap.application.questions import RulesPin
from idmap.domain.errors import Conflict, InvalidInput, NotFound
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet


class RuleWriter(BanWriter):
    """Writes rules."""

    def save_rules(self, document: Mapping[str, Any], *, expect_version: int | None) -> RuleSet:
        """`expect_version` is the version the change was made to (0: none yet); None asks for no
        check.
        """
        version = self._newest_rules()
        if expect_version is not None and expect_version != version:
            raise Conflict(Reason.VERSION_CONFLICT, f"rules are at version {version}")
        before = self.rules()
        rules = self.check_rules(document)
        try:
            text = canonical(document)
        except (TypeError, ValueError) as error:
            raise InvalidInput(Reason.RULE_INVALID, f"document: {error}") from error
        self._insert(
            RULE_VERSIONS,
            {
                "version": rules.version,
                "document": text,
                "saved_at": self._at,
                "author": self._author.name,
                "reason": self._author.reason,
            },
        )
        self._record("save_rules", version=rules.version, document=document)
        self._tell_nodes(before)
        return rules

    def pin_rules(self, version: int) -> RulesPin:
        if self._rules_text(version) is None:
            raise NotFound(f"version {version} of the rules")
        before = self.rules()
        self._db.execute(delete(RULE_PIN))
        pin = RulesPin(version, self._at, self._author.name, self._author.reason)
        self._insert(
            RULE_PIN,
            {
                "pin_id": 1,
                "version": version,
                "pinned_at": pin.pinned_at,
                "author": pin.author,
                "reason": pin.reason,
            },
        )
        self._record("pin_rules", version=version)
        self._tell_nodes(before)
        return pin

    def unpin_rules(self) -> None:
        before = self.rules()
        pin = self.rules_pin()
        if pin is None:
            raise NotFound("no version of the rules is pinned")
        self._db.execute(delete(RULE_PIN))
        self._record("unpin_rules", version=pin.version, newest=self._newest_rules())
        self._tell_nodes(before)

    def _tell_nodes(self, before: RuleSet) -> None:
        """Which doors want a token is in what nodes are told; the rest of the rules reaches them as accounts."""
        if self.rules().demands != before.demands:
            self._nodes_must_know()
