"""What a rule asks of a person's recorded facts: parts that must all hold, and why each does or does not.

Only what is on record is ever looked at (law 3); what a credential must prove is a demand (`demands`). A part is a
list of groups and facts of which any, all or none must be there. `anchors` are what a person must hold
at least one of to match, so that a decision looks at few rules however many there are.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from idmap.domain.facts import GRANTING, Fact
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject

Item = Group | Fact
"""Something a person holds."""


class PartName(StrEnum):
    """The members of `when`, as documents write them."""

    GROUPS = "groups"
    ENTITLEMENTS = "entitlements"
    LABELS = "labels"
    ATTRIBUTES = "attributes"
    ASSURANCE = "assurance"
    EMAIL_DOMAIN = "email_domain"


@dataclass(frozen=True, slots=True)
class Part:
    """One member of `when`. What is empty asks for nothing."""

    name: PartName
    any: frozenset[Item] = frozenset()
    all: frozenset[Item] = frozenset()
    none: frozenset[Item] = frozenset()

    def holds(self, held: frozenset[Item]) -> bool:
        """Whether somebody who holds these fulfils it."""
        return (
            (not self.any or not self.any.isdisjoint(held))
            and self.all <= held
            and self.none.isdisjoint(held)
        )

    def items(self) -> frozenset[Item]:
        """Everything it speaks of."""
        return self.any | self.all | self.none

    def grants(self) -> frozenset[Item]:
        """What of it can give an account by itself: neither what only narrows, nor what must be absent."""
        return frozenset(i for i in self.any | self.all if is_granting(i))

    def in_words(self, issuer: Issuer) -> str:
        """As in `groups: any of lhc, lhc/gpu; none of lhc/blocked`, in a rule of this issuer."""
        lists = (("any of", self.any), ("all of", self.all), ("none of", self.none))
        said = [f"{word} {items_text(items, issuer)}" for word, items in lists if items]
        return f"{self.name}: {'; '.join(said)}"


@dataclass(frozen=True, slots=True)
class PartShown:
    """One part as `explain` shows it: what was wanted, what of it the person has, and whether it held."""

    wanted: str
    had: str
    held: bool


@dataclass(frozen=True, slots=True)
class Who:
    """The person a condition is asked about: what is recorded of the identities that count."""

    active: bool
    robot: bool
    identities: frozenset[Identity]
    held: frozenset[Item]


@dataclass(frozen=True, slots=True)
class Condition:
    """All of it must hold."""

    issuer: Issuer
    """Some identity of the person is this issuer's."""
    parts: tuple[Part, ...] = ()
    robots: bool | None = False
    """Robots alone, people alone, or None: both."""
    subjects: frozenset[Subject] = frozenset()
    """Robots of the issuer that match without being in any group: clients and hosts are in none (INDIGO IAM #681)."""

    def holds(self, who: Who) -> bool:
        """Whether the person matches."""
        if not who.active or (self.robots is not None and who.robot is not self.robots):
            return False
        if all(identity.issuer != self.issuer for identity in who.identities):
            return False
        named = self._names(who.identities)
        if self.subjects and not named and not self._grants():
            return False
        return all(part.holds(who.held) for part in self._asked(named))

    def show(self, who: Who) -> tuple[PartShown, ...]:
        """Every part with its input and outcome, in the order they are looked at; what a named robot need not hold
        is left out."""
        kind = {None: "person or robot", True: "robot", False: "person"}[self.robots]
        shown = [
            PartShown("active at the source", "yes" if who.active else "no", who.active),
            PartShown(kind, "robot" if who.robot else "person", self.robots in (None, who.robot)),
        ]
        issuers = sorted({identity.issuer for identity in who.identities})
        shown.append(
            PartShown(f"identity of {self.issuer}", ", ".join(issuers), self.issuer in issuers)
        )
        named = self._names(who.identities)
        if self.subjects:
            held = named or self._grants()
            shown.append(PartShown("named by the rule", "yes" if named else "no", held))
        for part in self._asked(named):
            had = items_text(part.items() & who.held, self.issuer) or "none of these"
            shown.append(PartShown(part.in_words(self.issuer), had, part.holds(who.held)))
        return tuple(shown)

    def in_words(self) -> str:
        """One line: what it takes to match."""
        who = {None: "anybody", True: "robot", False: "person"}[self.robots]
        said = [f"{who} of {self.issuer}"]
        if self.subjects:
            said.append(f"named {', '.join(sorted(self.subjects))}")
        if self.parts:
            parts = "; ".join(part.in_words(self.issuer) for part in self.parts)
            said.append(f"{'or ' if self.subjects and self._grants() else ''}with {parts}")
        return ", ".join(said)

    def items(self) -> frozenset[Item]:
        """Every group and fact it speaks of."""
        return frozenset[Item]().union(*(part.items() for part in self.parts))

    def anchors(self) -> frozenset[Hashable]:
        """Whoever matches holds one of these, is one of these identities, or, at worst, has the issuer."""
        keys: set[Hashable] = {Identity(self.issuer, subject) for subject in self.subjects}
        wanted = [part.any for part in self.parts if part.any]
        wanted += [frozenset({min(p.all, key=item_order)}) for p in self.parts if p.all]
        if wanted and (not self.subjects or self._grants()):
            keys |= min(wanted, key=lambda items: len(items))
        return frozenset(keys or {self.issuer})

    def with_groups(self, renamed: Mapping[Group, Group]) -> Condition:
        """The same with groups under their paths of now."""

        def now(items: Iterable[Item]) -> frozenset[Item]:
            return frozenset(renamed.get(i, i) if isinstance(i, Group) else i for i in items)

        parts = (Part(p.name, now(p.any), now(p.all), now(p.none)) for p in self.parts)
        return replace(self, parts=tuple(parts))

    def _asked(self, named: bool) -> tuple[Part, ...]:
        """The parts; of a robot that the rule names only what narrows: all and none."""
        if not named:
            return self.parts
        narrowing = (replace(part, any=frozenset()) for part in self.parts)
        return tuple(part for part in narrowing if part.items())

    def _grants(self) -> bool:
        return any(part.grants() for part in self.parts)

    def _names(self, identities: Collection[Identity]) -> bool:
        return any(i.issuer == self.issuer and i.subject in self.subjects for i in identities)


def is_granting(item: Item) -> bool:
    """Whether it may give an account by itself; what is not only narrows."""
    return isinstance(item, Group) or item.kind in GRANTING


def item_text(item: Item, issuer: Issuer) -> str:
    """A group or a fact in words; its issuer only when that is not `issuer`."""
    text = item.path if isinstance(item, Group) else item.value
    return text if item.issuer == issuer else f"{text} @ {item.issuer}"


def items_text(items: Iterable[Item], issuer: Issuer) -> str:
    """Several of them, in an order for people."""
    return ", ".join(item_text(item, issuer) for item in sorted_items(items))


def item_order(item: Item) -> tuple[str, str, str]:
    """Groups before facts, each by what they say."""
    if isinstance(item, Group):
        return "", item.path, item.issuer
    return item.kind, item.value, item.issuer


def sorted_items(items: Iterable[Item]) -> list[Item]:
    """In an order for people."""
    return sorted(items, key=item_order)
