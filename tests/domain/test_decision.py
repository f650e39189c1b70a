"""The one decision: what is recorded gives, what a credential proves only takes away (law 3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.accounts import (
    TRANSITIONS,
    Account,
    AccountEvent,
    AccountState,
    PosixGroup,
    next_state,
)
from idmap.domain.bans import Ban
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Recorded, decide
from idmap.domain.doors import API, ssh_door
from idmap.domain.errors import Conflict
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.names import GroupName, Username
from idmap.domain.numbers import GidNumber, UidNumber
from idmap.domain.reasons import REASONS, Reason
from idmap.domain.rule_document import parse_rules
from idmap.domain.rules import EMPTY_RULES
from tests.domain.test_rules import document

ISSUER = Issuer("https://iam.example/")
WHO = Identity(ISSUER, Subject("s1"))
LHC, GPU = Group(ISSUER, "lhc"), Group(ISSUER, "lhc/gpu")
NOON = int(datetime(2027, 3, 1, 12, tzinfo=UTC).timestamp())
TODAY = date(2027, 3, 1)
RULES = parse_rules(document(), version=1)
SSH = ssh_door("login")

ACCOUNT = Account(
    account_id=1,
    username=Username("alice"),
    uid_number=UidNumber(200_001),
    primary_group=PosixGroup(GroupName("lhc"), GidNumber(300_001)),
    secondary_groups=(),
    home="/home/alice",
    shell="/bin/bash",
    state=AccountState.ACTIVE,
    grace_until=None,
    expires_on=None,
    rule_id="lhc",
)


def recorded(**changes: object) -> Recorded:
    base = Recorded(WHO, active_at_source=True, groups=frozenset({LHC}), account=ACCOUNT)
    return replace(base, **changes)  # type: ignore[arg-type]  # test builder


def credential(**changes: object) -> VerifiedClaims:
    base = VerifiedClaims(WHO, SSH, NOON + 60, NOON, None, None, frozenset(), None)
    return replace(base, **changes)  # type: ignore[arg-type]  # test builder


def ban(until: int | None = None) -> Ban:
    return Ban(1, 1, None, "stolen laptop", "csirt", NOON - 5, until)


def test_a_member_is_to_have_an_account() -> None:
    """The first rule whose group is recorded grants, with the listed groups the person is in."""
    decision = decide(recorded(groups=frozenset({LHC, GPU})), RULES, NOON)
    assert decision.allowed
    assert decision.grant is not None
    assert (decision.grant.rule.rule_id, decision.grant.secondary_groups) == ("lhc", {GPU})


@pytest.mark.parametrize(
    "changes", [{"groups": frozenset()}, {"groups": frozenset({GPU})}, {"active_at_source": False}]
)
def test_no_match_is_a_refusal_with_its_reason(changes: dict[str, object]) -> None:
    """No membership, a child only, or disabled at the source: no account, and the reason is said."""
    decision = decide(recorded(**changes), RULES, NOON)
    assert (decision.allowed, decision.reason) == (False, Reason.NO_RULE_MATCHES)


def test_a_site_without_rules_admits_nobody() -> None:
    """Empty means nobody (law 4)."""
    assert not decide(recorded(), EMPTY_RULES, NOON).allowed


def test_the_same_group_path_at_another_issuer_is_another_group() -> None:
    """Two issuers that differ by a slash are two issuers."""
    other = Group(Issuer("https://iam.example"), "lhc")
    assert not decide(recorded(groups=frozenset({other})), RULES, NOON).allowed


@pytest.mark.parametrize(
    ("account", "bans", "reason"),
    [
        (ACCOUNT, (), Reason.OK),
        (ACCOUNT, (ban(),), Reason.BANNED),
        (ACCOUNT, (ban(until=NOON + 1),), Reason.BANNED),
        (ACCOUNT, (ban(until=NOON),), Reason.OK),
        (replace(ACCOUNT, state=AccountState.SUSPENDED), (), Reason.ACCOUNT_SUSPENDED),
        (replace(ACCOUNT, state=AccountState.SUSPENDED), (ban(),), Reason.BANNED),
        (replace(ACCOUNT, state=AccountState.TOMBSTONE), (ban(),), Reason.ACCOUNT_UNKNOWN),
        (replace(ACCOUNT, expires_on=TODAY), (), Reason.OK),
        (replace(ACCOUNT, expires_on=TODAY - timedelta(1)), (), Reason.ACCOUNT_EXPIRED),
        (replace(ACCOUNT, state=AccountState.GRACE, grace_until=TODAY), (), Reason.OK),
        (
            replace(ACCOUNT, state=AccountState.GRACE, grace_until=TODAY - timedelta(1)),
            (),
            Reason.GRACE_ENDED,
        ),
    ],
)
def test_a_door_reads_state_dates_and_bans(
    account: Account, bans: tuple[Ban, ...], reason: Reason
) -> None:
    """A date counts to the end of its day; a ban outranks everything but closure."""
    assert decide(recorded(account=account, bans=bans), RULES, NOON, SSH).reason is reason


def test_grace_opens_the_door_without_any_membership() -> None:
    """The entitlement is lost, the account is still usable: that is what grace means."""
    account = replace(ACCOUNT, state=AccountState.GRACE, grace_until=TODAY)
    assert decide(
        recorded(groups=frozenset(), account=account), RULES, NOON, SSH, credential()
    ).allowed


def test_a_person_without_an_account_is_told_what_is_missing() -> None:
    """With a grant: come and get it; without: no rule matches."""
    assert decide(recorded(account=None), RULES, NOON, API).reasons == (Reason.ACCOUNT_UNKNOWN,)
    nobody = decide(recorded(account=None, groups=frozenset()), RULES, NOON, API)
    assert nobody.reasons == (Reason.ACCOUNT_UNKNOWN, Reason.NO_RULE_MATCHES)


def test_another_persons_credential_opens_nothing() -> None:
    """The identity proved must be the identity recorded."""
    other = credential(identity=Identity(ISSUER, Subject("s2")))
    assert decide(recorded(), RULES, NOON, SSH, other).reason is Reason.IDENTITY_MISMATCH


def test_a_credential_for_another_door_opens_nothing() -> None:
    """Law 13, once more where everything meets."""
    assert (
        decide(recorded(), RULES, NOON, SSH, credential(door=API)).reason is Reason.AUDIENCE_REFUSED
    )


@given(
    st.frozensets(st.sampled_from([LHC, GPU, Group(ISSUER, "wheel")])), st.booleans(), st.booleans()
)
def test_what_a_token_says_of_groups_never_gives_or_takes(
    asserted: frozenset[Group], member: bool, banned: bool
) -> None:
    """More claims than the record never add, fewer never take away (law 3)."""
    facts = recorded(
        groups=frozenset({LHC}) if member else frozenset(), bans=(ban(),) if banned else ()
    )
    with_claims = decide(facts, RULES, NOON, SSH, credential(groups=asserted))
    without = decide(facts, RULES, NOON, SSH, credential())
    assert with_claims == without
    assert with_claims.allowed is not banned


@pytest.mark.parametrize("state", AccountState)
@pytest.mark.parametrize("event", AccountEvent)
def test_every_transition_is_in_the_table_or_refused(
    state: AccountState, event: AccountEvent
) -> None:
    """The table is complete; nothing leaves a tombstone."""
    if event in TRANSITIONS[state]:
        assert next_state(state, event) is TRANSITIONS[state][event]
        assert state is not AccountState.TOMBSTONE
    else:
        with pytest.raises(Conflict):
            next_state(state, event)


def test_every_reason_has_its_texts() -> None:
    """The table is complete, and no sentence is empty (law 11)."""
    assert set(REASONS) == set(Reason)
    assert all(text.sentence and text.next_step for text in REASONS.values())
