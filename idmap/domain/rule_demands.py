"""Demands as rule documents write them, and as nodes get them: the same table, read and written here.

    { id = "strong", doors = ["ssh:secure"], issuers = ["https://…"], assurance = [], acr = [], capabilities = [],
      max_authentication_age = 3600, keys = "refuse" | "admit" }

Raises RuleFault; what a demand means is `demands`'.
"""

from __future__ import annotations

from typing import Any, Final

from idmap.domain.capabilities import COMPUTE, STORAGE, find_capability
from idmap.domain.demands import Demand
from idmap.domain.doors import Door, DoorKind, parse_door
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason
from idmap.domain.rule_fields import Fields
from idmap.domain.rule_schema import MAX_AUTHENTICATION_AGE, members

MIN_AUTHENTICATION_AGE: Final = 60
"""Seconds. Less than a minute nobody has between two windows; after a month a demand says nothing."""

MAX_VALUES: Final = 100
"""Of any list; they travel to every node."""

_LISTS: Final = ("doors", "issuers", "assurance", "acr", "capabilities")
_KNOWN: Final = ", ".join(
    [
        *(f"compute.{word}" for word in sorted(COMPUTE)),
        *(f"storage.{w}:/…" for w in sorted(STORAGE)),
    ]
)


def read_demand(fields: Fields) -> Demand:
    """One demand of a document."""
    fields = fields.named(f"demand {fields.label('id')}")
    fields.only(members("demand"))
    for member in _LISTS:
        if len(fields.list(member)) > MAX_VALUES:
            fields.refuse(member, f"at most {MAX_VALUES}")
    doors = frozenset(fields.each("doors", _read_door))
    if not doors:
        fields.refuse("doors", "at least one")
    age = None
    if fields.has("max_authentication_age"):
        age = fields.number(
            "max_authentication_age", None, MIN_AUTHENTICATION_AGE, MAX_AUTHENTICATION_AGE
        )
    demand = Demand(
        demand_id=fields.label("id"),
        doors=doors,
        issuers=frozenset(map(Issuer, fields.texts("issuers"))),
        assurance=fields.texts("assurance"),
        acr=fields.texts("acr"),
        capabilities=fields.names("capabilities", find_capability, f"capabilities ({_KNOWN})"),
        max_authentication_age=age,
        admits_keys=fields.choice("keys", ("refuse", "admit"), "refuse") == "admit",
    )
    if not (demand.assurance or demand.acr or demand.capabilities or age is not None):
        fields.refuse("", "demands nothing: assurance, acr, capabilities, max_authentication_age")
    if fields.has("keys") and all(door.kind is not DoorKind.SSH for door in doors):
        fields.refuse("keys", "is for ssh doors")
    return demand


def demand_document(demand: Demand) -> dict[str, Any]:
    """The inverse: its only spelling, with the members that say something."""
    said: dict[str, Any] = {
        "id": demand.demand_id,
        "doors": sorted(map(str, demand.doors)),
        "issuers": sorted(demand.issuers),
        "assurance": sorted(demand.assurance),
        "acr": sorted(demand.acr),
        "capabilities": sorted(demand.capabilities),
        "max_authentication_age": demand.max_authentication_age,
        "keys": "admit" if demand.admits_keys else None,
    }
    return {member: value for member, value in said.items() if value}


def parse_demands(value: object) -> tuple[Demand, ...]:
    """A list of such documents read back, for nodes and the signer. Raises RuleFault."""
    rows = Fields({"demands": value}, "document", "").tables("demands", "demand")
    found = tuple(map(read_demand, rows))
    if len({demand.demand_id for demand in found}) != len(found):
        rows[0].refuse("id", "used twice")
    return found


def _read_door(value: object) -> Door:
    if not isinstance(value, str):
        raise InvalidInput(Reason.RULE_INVALID, "a door is needed, as in ssh:login")
    return parse_door(value)
