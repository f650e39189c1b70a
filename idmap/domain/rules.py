"""Group-to-account policy as data: what a rule asks of recorded facts, and what it gives.

Three kinds of rule. *Account* rules give an account of a class; of those that match, the one of the highest priority,
among equals the first of the document, is the winner and alone decides the class. *Add* rules give no account;
what all that match add (secondary groups, node classes, local groups, Slurm association) is united with what the
winner gives. *Deny* rules win over both: the account, or the node classes they name. Nothing that matches is a
refusal, never a default account (law 4). How documents are written is `rule_document`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Final

from idmap.domain.conditions import Condition, Item, Who
from idmap.domain.demands import Demand, refuses_keys
from idmap.domain.doors import Door, DoorKind
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import PRIVATE_GROUP, Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.node_access import EVERYWHERE, NOWHERE, NodeAccess
from idmap.domain.roles import Role
from idmap.domain.spelling import DEFAULT_NAMING, Naming


class AccountKind(StrEnum):
    """Whose accounts of a class are."""

    PERSONAL = "personal"
    """One person's."""
    POOL = "pool"
    """One person's too, under a counted name, and not more of them than the pool has."""
    PROJECT = "project"
    """One account for the members of the rule's group, named after the group."""
    SHARED = "shared"
    """One account for everybody who matches, under the name that the class gives."""


SHARED_KINDS: Final = frozenset({AccountKind.PROJECT, AccountKind.SHARED})


@dataclass(frozen=True, slots=True)
class SlurmAssociation:
    """Where the account's jobs are charged; for whoever provisions Slurm."""

    account: str
    qos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountClass:
    """What accounts of one kind look like."""

    name: str
    number_range: str
    primary_group: Group
    """`PRIVATE_GROUP`: one of the account's own, `primary_group = { private = true }`."""
    shell: str
    home: str
    """Template; `{username}` is its one variable."""
    grace_days: int
    membership_grace_days: int = 0
    """How long a secondary group is kept after its member left it; 0 for not at all."""
    approval_required: bool = False
    """New accounts stay pending until an administrator approves them."""
    naming: Naming = DEFAULT_NAMING
    kind: AccountKind = AccountKind.PERSONAL
    expires_on: date | None = None
    """Last day (UTC) of every account of the class; nobody gets one after it."""
    access: NodeAccess = EVERYWHERE
    local_groups: frozenset[str] = frozenset()
    slurm: SlurmAssociation | None = None
    shared_name: str | None = None
    """Of a shared account: its username, exactly. A project's is spelled from the rule's group."""
    pool_size: int | None = None
    """So many accounts at most that are not closed; None for as many as the range has."""

    @property
    def is_shared(self) -> bool:
        """Whether several people use one account."""
        return self.kind in SHARED_KINDS

    def home_of(self, username: str) -> str:
        """The home directory of an account of this class."""
        return self.home.replace("{username}", username)


@dataclass(frozen=True, slots=True)
class Gives:
    """An account of the class, and the gids of the groups listed that the person is in."""

    account_class: AccountClass
    secondary_groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Adds:
    """More for an account that another rule gives."""

    secondary_groups: tuple[Group, ...] = ()
    access: NodeAccess = NOWHERE
    """United with the winner's; NOWHERE adds none."""
    local_groups: frozenset[str] = frozenset()
    slurm: SlurmAssociation | None = None
    """Only where the winner says none; of several, that of the rule that comes first."""


@dataclass(frozen=True, slots=True)
class Denies:
    """The account altogether, or its use on some node classes. Of several that match, the least grace counts."""

    node_classes: frozenset[str] = frozenset()
    """Empty: everything."""
    grace_days: int = 0
    """How long an account that there is stays usable, at most."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Whoever fulfils the condition gets the outcome."""

    rule_id: str
    condition: Condition
    outcome: Gives | Adds | Denies
    priority: int = 0
    """Higher first, then in the order of the document."""

    def groups_given(self) -> frozenset[Group]:
        """The groups that need a gid for it."""
        match self.outcome:
            case Gives(account_class, secondary):
                return frozenset({account_class.primary_group, *secondary}) - {PRIVATE_GROUP}
            case Adds(secondary_groups=secondary):
                return frozenset(secondary)
            case Denies():
                return frozenset()


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may use the admin door with a token, and as what: one identity, or the recorded members of one group."""

    identity: Identity | None
    group: Group | None
    role: Role = Role.SITE_ADMIN
    manages: frozenset[Group] = frozenset()
    """Of a group manager: the groups."""


@dataclass(frozen=True, slots=True)
class Example:
    """A person as somebody imagines them, and what the rules must make of them."""

    name: str
    who: Who
    rule_id: str | None = None
    """The winner; None: a refusal."""
    refused: str | None = None
    """Its reason code; None: any."""
    secondary_groups: frozenset[Group] | None = None
    """Exactly these; None: not looked at. So are the other members."""
    access: NodeAccess | None = None
    local_groups: frozenset[str] | None = None

    def groups(self) -> frozenset[Group]:
        """Every group it speaks of."""
        held = frozenset(item for item in self.who.held if isinstance(item, Group))
        return held | (self.secondary_groups or frozenset())


@dataclass(frozen=True)
class RuleSet:
    """One immutable version of a site's rules."""

    version: int
    rules: tuple[Rule, ...]
    """In order of precedence."""
    administrators: tuple[Administrator, ...] = ()
    group_range: str = "groups"
    demands: tuple[Demand, ...] = ()
    examples: tuple[Example, ...] = ()
    unused_classes: tuple[str, ...] = field(default=(), compare=False)
    """Classes that no rule gives."""

    # --- whom a decision looks at

    def candidates(self, who: Who) -> Iterator[tuple[int, Rule]]:
        """The rules that may match, in order of precedence; every other one certainly does not."""
        found: set[int] = set()
        index = self._index
        for key in (*who.held, *who.identities, *{one.issuer for one in who.identities}):
            found.update(index.get(key, ()))
        return ((position, self.rules[position]) for position in sorted(found))

    @cached_property
    def _index(self) -> Mapping[Hashable, tuple[int, ...]]:
        index: defaultdict[Hashable, list[int]] = defaultdict(list)
        for position, rule in enumerate(self.rules):
            for key in rule.condition.anchors():
                index[key].append(position)
        return {key: tuple(positions) for key, positions in index.items()}

    # --- what rules speak of

    @cached_property
    def _by_id(self) -> Mapping[str, Rule]:
        return {rule.rule_id: rule for rule in self.rules}

    def find_rule(self, rule_id: str) -> Rule | None:
        """The rule of that id in this version."""
        return self._by_id.get(rule_id)

    def class_of(self, rule_id: str) -> AccountClass | None:
        """The class that the rule gives; None when this version has no such account rule."""
        rule = self._by_id.get(rule_id)
        return rule.outcome.account_class if rule and isinstance(rule.outcome, Gives) else None

    def account_rules(self) -> Iterator[tuple[Rule, AccountClass]]:
        """Every account rule with its class."""
        for rule in self.rules:
            if isinstance(rule.outcome, Gives):
                yield rule, rule.outcome.account_class

    def rules_of_class(self, name: str) -> frozenset[str]:
        """The ids of the rules that give this class."""
        return frozenset(rule.rule_id for rule, given in self.account_rules() if given.name == name)

    def groups(self) -> frozenset[Group]:
        """Every group any rule speaks of: what the sources must be asked about, what needs a gid."""
        return self._groups

    @cached_property
    def _groups(self) -> frozenset[Group]:
        found = set(self._posix_groups)
        for rule in self.rules:
            found |= {item for item in rule.condition.items() if isinstance(item, Group)}
        for admin in self.administrators:
            found |= admin.manages | ({admin.group} if admin.group else set())
        return frozenset(found)

    def written_groups(self) -> frozenset[Group]:
        """Those, and the groups that only examples speak of."""
        return self._groups.union(*(example.groups() for example in self.examples))

    def posix_groups(self) -> frozenset[Group]:
        """The groups that need a gid."""
        return self._posix_groups

    @cached_property
    def _posix_groups(self) -> frozenset[Group]:
        return frozenset[Group]().union(*(rule.groups_given() for rule in self.rules))

    def spelling_facts(self) -> frozenset[str]:
        """Of `email`, `given`, `family`: those that some class needs to name people; no others go on record."""
        return frozenset[str]().union(
            *(given.naming.facts() for rule, given in self.account_rules() if _is_for_people(rule))
        )

    def wanted_facts(self) -> frozenset[tuple[Issuer, FactKind]]:
        """The kinds of facts, by issuer, that some rule asks for; no others go on record."""
        items = (item for rule in self.rules for item in rule.condition.items())
        return frozenset((item.issuer, item.kind) for item in items if isinstance(item, Fact))

    @cached_property
    def _counted(self) -> frozenset[str]:
        counters = (given.naming.counter for _, given in self.account_rules())
        return frozenset(counter.prefix for counter in counters if counter is not None)

    def is_counted_name(self, name: str) -> bool:
        """Whether a counter of some class could give the name or a numbered form of it: no claim may spell it."""
        return name.rstrip("0123456789") in self._counted

    @cached_property
    def shared_names(self) -> frozenset[str]:
        """The names that classes say: nothing else is called so."""
        named = (given.shared_name for _, given in self.account_rules())
        return frozenset(name for name in named if name is not None)

    def is_kept_name(self, name: str) -> bool:
        """Whether neither a person nor a group may be called so: it is a counter's or a shared account's."""
        return self.is_counted_name(name) or name in self.shared_names

    @cached_property
    def has_slurm(self) -> bool:
        """Whether any class or rule says where jobs are charged."""
        adds = (rule.outcome.slurm for rule in self.rules if isinstance(rule.outcome, Adds))
        return any((*(given.slurm for _, given in self.account_rules()), *adds))

    def token_only_classes(self) -> frozenset[str]:
        """The node classes on which a login that shows no token is refused."""
        doors = {door for demand in self.demands for door in demand.doors}
        ssh = (door for door in doors if door.kind is DoorKind.SSH)
        return frozenset(door.label for door in ssh if refuses_keys(self.demands, door))

    def node_classes(self) -> frozenset[str]:
        """Every node class that some rule or demand names."""
        doors = (door for demand in self.demands for door in demand.doors)
        found = {door.label for door in doors if door.kind is DoorKind.SSH}
        for rule in self.rules:
            match rule.outcome:
                case Gives(account_class):
                    found |= _named(account_class.access)
                case Adds(access=access):
                    found |= _named(access)
                case Denies(node_classes):
                    found |= node_classes
        return frozenset(found)


EMPTY_RULES: Final = RuleSet(version=0, rules=())
"""A site without rules: nobody gets an account."""


def follow_renames(rules: RuleSet, renamed: Mapping[Group, Group]) -> RuleSet:
    """The rules with every group that was renamed since they were written under its path of now."""
    if not renamed.keys() & rules.written_groups():
        return rules

    def now(groups: Iterable[Group]) -> tuple[Group, ...]:
        return tuple(renamed.get(group, group) for group in groups)

    def followed_example(example: Example) -> Example:
        held = frozenset(renamed.get(i, i) if isinstance(i, Group) else i for i in example.who.held)
        secondary = example.secondary_groups
        return replace(
            example,
            who=replace(example.who, held=held),
            secondary_groups=None if secondary is None else frozenset(now(secondary)),
        )

    def followed(rule: Rule) -> Rule:
        outcome = rule.outcome
        match outcome:
            case Gives(given, secondary):
                (primary,) = now([given.primary_group])
                outcome = Gives(replace(given, primary_group=primary), now(secondary))
            case Adds(secondary_groups=secondary):
                outcome = replace(outcome, secondary_groups=now(secondary))
            case Denies():
                pass
        return replace(rule, condition=rule.condition.with_groups(renamed), outcome=outcome)

    return replace(
        rules,
        rules=tuple(map(followed, rules.rules)),
        administrators=tuple(
            replace(
                admin,
                group=None if admin.group is None else renamed.get(admin.group, admin.group),
                manages=frozenset(now(admin.manages)),
            )
            for admin in rules.administrators
        ),
        examples=tuple(map(followed_example, rules.examples)),
    )


def who_names(rules: RuleSet, group: Group) -> tuple[str, ...]:
    """The rules, classes, examples and entries under [[admins]] that speak of a group: what a person has to edit."""
    found: dict[str, None] = {}
    for rule in rules.rules:
        secondary: tuple[Group, ...] = ()
        if isinstance(rule.outcome, Gives | Adds):
            secondary = rule.outcome.secondary_groups
        if group in rule.condition.items() or group in secondary:
            found[f"rule {rule.rule_id}"] = None
        if isinstance(rule.outcome, Gives) and group == rule.outcome.account_class.primary_group:
            found[f"class {rule.outcome.account_class.name}"] = None
    for index, admin in enumerate(rules.administrators, start=1):
        if group == admin.group or group in admin.manages:
            found[f"admin {index}"] = None
    for example in rules.examples:
        if group in example.groups():
            found[f"example {example.name!r}"] = None
    return tuple(found)


def demands_at(rules: RuleSet, door: Door) -> tuple[Demand, ...]:
    """The demands that speak of a door."""
    return tuple(demand for demand in rules.demands if door in demand.doors)


def held_items(groups: frozenset[Group], facts: frozenset[Fact]) -> frozenset[Item]:
    """Groups and facts together, as conditions look at them."""
    return groups | facts if facts else frozenset[Item](groups)


def _is_for_people(rule: Rule) -> bool:
    return rule.condition.robots is not True


def _named(access: NodeAccess) -> frozenset[str]:
    return access.never if access.only is None else access.only
