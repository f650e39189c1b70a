"""Random rules, people and credentials for properties, from so few names that they meet often."""

from __future__ import annotations

from datetime import date
from typing import Final

from hypothesis import strategies as st

from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.assurance import Assurance
from idmap.domain.capabilities import Capability
from idmap.domain.claims import VerifiedClaims
from idmap.domain.conditions import Condition, Item, Part, PartName, Who
from idmap.domain.decision import Recorded
from idmap.domain.demands import Demand
from idmap.domain.doors import ADMIN, API, Door, DoorKind, parse_door
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import PRIVATE_GROUP, Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.names import GroupName, Username
from idmap.domain.node_access import NodeAccess
from idmap.domain.numbers import GidNumber, UidNumber
from idmap.domain.rules import (
    AccountClass,
    Adds,
    Denies,
    Gives,
    Rule,
    RuleSet,
    SlurmAssociation,
)

NOW: Final = 1_793_613_600
"""2026-11-02, a Monday."""
TODAY: Final = date(2026, 11, 2)

ISSUERS: Final = (Issuer("https://a.example/"), Issuer("https://b.example/"))
GROUPS: Final = tuple(Group(issuer, path) for issuer in ISSUERS for path in ("vo", "vo/x", "lab"))
SUBJECTS: Final = tuple(map(Subject, ("s1", "s2")))
NODE_CLASSES: Final = ("login", "gpu", "secure")
DOORS: Final = (*(parse_door(f"ssh:{name}") for name in NODE_CLASSES), API, ADMIN,
                parse_door("component:portal"))  # fmt: skip
FACTS: Final = tuple(
    Fact(issuer, kind, value) for issuer in ISSUERS for kind in FactKind for value in ("p", "q")
)
KINDS: Final = {
    PartName.LABELS: FactKind.LABEL,
    PartName.ATTRIBUTES: FactKind.ATTRIBUTE,
    PartName.ASSURANCE: FactKind.ASSURANCE,
    PartName.EMAIL_DOMAIN: FactKind.EMAIL_DOMAIN,
}


def items_of(name: PartName) -> tuple[Item, ...]:
    """What a part of that name may speak of; another issuer's too."""
    if name is PartName.GROUPS:
        return GROUPS
    if name is PartName.ENTITLEMENTS:
        return (*GROUPS, *(fact for fact in FACTS if fact.kind is FactKind.ENTITLEMENT))
    return tuple(fact for fact in FACTS if fact.kind is KINDS[name])


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """Any, all and none, at least one of them with something in it."""
    name = draw(st.sampled_from(PartName))
    known = st.sampled_from(items_of(name))
    few = st.frozensets(known, max_size=1)
    part = Part(name, draw(st.frozensets(known, max_size=3)), draw(few), draw(few))
    return part if part.items() else Part(name, none=frozenset({items_of(name)[0]}))


conditions = st.builds(
    Condition,
    issuer=st.sampled_from(ISSUERS),
    parts=st.just(()) | st.lists(parts(), max_size=2).map(tuple),
    robots=st.sampled_from((None, None, False, True)),
    subjects=st.frozensets(st.sampled_from(SUBJECTS), max_size=1),
)
"""Also such as no document may hold: with nothing that grants, with nothing at all."""

node_classes = st.frozensets(st.sampled_from(NODE_CLASSES), max_size=2)
accesses = st.one_of(node_classes.map(NodeAccess), node_classes.map(lambda c: NodeAccess(None, c)))
local_groups = st.frozensets(st.sampled_from(("gpuusers", "licence")), max_size=2)
slurm = st.sampled_from((None, SlurmAssociation("lhc"), SlurmAssociation("lab", ("normal",))))
secondary = st.lists(st.sampled_from(GROUPS), max_size=3).map(tuple)
classes = st.builds(
    AccountClass,
    name=st.just("member"),
    number_range=st.just("people"),
    primary_group=st.sampled_from((GROUPS[0], GROUPS[3], PRIVATE_GROUP)),
    shell=st.just("/bin/bash"),
    home=st.just("/home/{username}"),
    grace_days=st.integers(0, 30),
    expires_on=st.sampled_from((None, date(2026, 11, 1), TODAY, date(2026, 12, 4))),
    access=accesses,
    local_groups=local_groups,
    slurm=slurm,
)
A_CLASS: Final = AccountClass(
    "member", "people", GROUPS[0], "/bin/bash", "/home/{username}", grace_days=30
)
outcomes = st.one_of(
    st.builds(Gives, classes, secondary),
    st.builds(Adds, secondary, accesses, local_groups, slurm),
    st.builds(Denies, node_classes, st.integers(0, 3)),
)


@st.composite
def rule_sets(draw: st.DrawFn, demands: bool = True) -> RuleSet:
    """Rules in order of precedence, as `parse_rules` leaves them."""
    found = draw(st.lists(st.tuples(conditions, outcomes, st.integers(-1, 1)), max_size=8))
    rules = [Rule(f"r{i}", *one) for i, one in enumerate(found)]
    asked = draw(st.lists(demand, max_size=3)) if demands else []
    return RuleSet(1, tuple(sorted(rules, key=lambda rule: -rule.priority)), demands=tuple(asked))


assurance_values = st.frozensets(st.sampled_from(("low", "high")), max_size=2)
acr_values = st.frozensets(st.sampled_from(("mfa", "sfa")), max_size=2)
demand = st.builds(
    Demand,
    demand_id=st.sampled_from(("d1", "d2")),
    doors=st.frozensets(st.sampled_from(DOORS), min_size=1),
    issuers=st.frozensets(st.sampled_from(ISSUERS), max_size=1),
    assurance=assurance_values,
    acr=acr_values,
    capabilities=st.frozensets(st.sampled_from(("compute.read", "storage.read:/data")), max_size=1),
    max_authentication_age=st.sampled_from((None, 60, 3600)),
    admits_keys=st.booleans(),
)

held = st.frozensets(st.sampled_from((*GROUPS, *FACTS)), max_size=16)
often = st.sampled_from((True, True, True, False))
identities = st.builds(Identity, st.sampled_from(ISSUERS), st.sampled_from(SUBJECTS))
people = st.builds(
    Who,
    active=often,
    robot=often.map(lambda person: not person),
    identities=st.frozensets(identities, min_size=1, max_size=3),
    held=held,
)

ACCOUNT: Final = Account(
    account_id=1,
    username=Username("jo"),
    uid_number=UidNumber(200_000),
    primary_group=PosixGroup(GroupName("vo"), GidNumber(300_000)),
    secondary_groups=(),
    home="/home/jo",
    shell="/bin/bash",
    state=AccountState.ACTIVE,
    grace_until=None,
    expires_on=None,
    rule_id="r0",
)
accounts = st.one_of(
    st.none(),
    st.builds(
        lambda state, until, access: Account(
            1,
            Username("jo"),
            UidNumber(200_000),
            ACCOUNT.primary_group,
            (),
            "/home/jo",
            "/bin/bash",
            state,
            TODAY if state is AccountState.GRACE else None,
            until,
            "r0",
            access=access,
        ),
        st.sampled_from(AccountState),
        st.sampled_from((None, date(2026, 11, 1), TODAY)),
        accesses,
    ),
)


@st.composite
def records(draw: st.DrawFn) -> Recorded:
    """What the registry may know of an identity."""
    who = draw(people)
    identity, *also = sorted(who.identities)
    return Recorded(
        identity=identity,
        active_at_source=who.active,
        groups=frozenset(item for item in who.held if isinstance(item, Group)),
        account=draw(accounts),
        robot=who.robot,
        also=frozenset(also),
        facts=frozenset(item for item in who.held if isinstance(item, Fact)),
    )


capabilities = st.sampled_from((
    Capability("compute", "read"), Capability("storage", "read", "/"), Capability("storage", "read", "/da")
))  # fmt: skip


@st.composite
def credentials(draw: st.DrawFn, identity: Identity, door: Door) -> VerifiedClaims:
    """A verified token of that identity at that door, with more or fewer claims."""
    return VerifiedClaims(
        identity=identity,
        door=door,
        expires_at=NOW + 600,
        issued_at=NOW - draw(st.sampled_from((0, 30, 1200))),
        token_id=None,
        client_id=None,
        groups=draw(st.frozensets(st.sampled_from(GROUPS), max_size=3)),
        preferred_username=draw(st.sampled_from((None, "root", "jo"))),
        capabilities=draw(st.frozensets(capabilities, max_size=2)),
        assurance=Assurance(draw(assurance_values), draw(st.sampled_from((None, "mfa", "sfa")))),
        robot=draw(st.booleans()),
        auth_time=draw(st.sampled_from((None, 0, NOW - 90, NOW - 30, NOW + 86_400))),
    )


def is_ssh(door: Door) -> bool:
    """Whether node access speaks of it."""
    return door.kind is DoorKind.SSH
