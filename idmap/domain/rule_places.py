"""Where a document says what: JSON Pointers (RFC 6901) to rules, classes, demands and what they name.

For whoever finds something wrong with a `RuleSet` that was read from it: a rule set does not know where it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from idmap.domain.conditions import Item, PartName
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.rule_items import read_group, read_item

_LISTS: Final = ("any", "all", "none")


def pointer(*steps: str | int) -> str:
    """A JSON Pointer of these steps."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


class Places:
    """The places of a document that `parse_rules` has read."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._rules = {row["id"]: i for i, row in enumerate(document.get("rules", ()))}
        self._demands = {row["id"]: i for i, row in enumerate(document.get("demands", ()))}

    def rule(self, rule_id: str, *steps: str | int) -> str:
        """A rule, or something in it."""
        return pointer("rules", self._rules[rule_id], *steps)

    def account_class(self, name: str, *steps: str | int) -> str:
        """A class, or something in it."""
        return pointer("classes", name, *steps)

    def demand(self, demand_id: str, *steps: str | int) -> str:
        """A demand, or something in it."""
        return pointer("demands", self._demands[demand_id], *steps)

    def admin(self, position: int, *steps: str | int) -> str:
        """An entry under [[admins]], from 0."""
        return pointer("admins", position, *steps)

    def item(self, rule_id: str, wanted: Item) -> str:
        """Where a rule names a group or a fact; the rule itself when it only means it, by its class."""
        for steps, item in self._items(rule_id):
            if item == wanted:
                return self.rule(rule_id, *steps)
        return self.rule(rule_id)

    def entitlements(self, rule_id: str) -> Iterator[tuple[str, str]]:
        """(pointer, URN as written) of every entitlement that a rule asks for."""
        part = self._document["rules"][self._rules[rule_id]].get("when", {}).get("entitlements", {})
        for name in _LISTS:
            for index, urn in enumerate(part.get(name, ())):
                yield self.rule(rule_id, "when", "entitlements", name, index), urn

    def _items(self, rule_id: str) -> Iterator[tuple[tuple[str | int, ...], Item]]:
        body = self._document["rules"][self._rules[rule_id]]
        issuer = Issuer(body["issuer"])
        if "group" in body:
            yield ("group",), read_group(issuer, body["group"])
        for part in PartName:
            lists = body.get("when", {}).get(str(part), {})
            for name in _LISTS:
                for index, value in enumerate(lists.get(name, ())):
                    try:
                        yield ("when", str(part), name, index), read_item(part, issuer, value)
                    except (
                        InvalidInput
                    ):  # the parser has refused it; a pointer is not worth another refusal
                        continue
        for index, value in enumerate(body.get("secondary_groups", ())):
            yield ("secondary_groups", index), read_group(issuer, value)
