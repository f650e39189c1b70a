"""Bans: what each kind reaches, and for how long."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.bans import NO_CREDENTIAL_BANS, Ban, BanKind, CredentialBans, closing_bans
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Recorded, decide
from idmap.domain.doors import ssh_door
from idmap.domain.errors import Refused
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject, identity_digest, token_digest
from idmap.domain.linking import check_unlink
from idmap.domain.reasons import Reason
from idmap.domain.rules import EMPTY_RULES
from tests.domain.test_decision import ACCOUNT

A, B, C = (Issuer(f"https://{name}.example/") for name in "abc")
AT = 1_800_000_000
SSH = ssh_door("login")
_NUMBERS = count(1)


def ban(issuer: Issuer | None = None, token_id: str | None = None, until: int | None = None) -> Ban:
    """A ban of an issuer or one of its tokens; of an account without both."""
    account = 1 if issuer is None else None
    return Ban(next(_NUMBERS), account, None, "r", "a", AT, until, issuer=issuer, token_id=token_id)


def token(issuer: Issuer, token_id: str | None) -> VerifiedClaims:
    identity = Identity(issuer, Subject("s"))
    return VerifiedClaims(identity, SSH, AT + 60, AT, token_id, None, frozenset(), None)


def recorded(issuer: Issuer, *bans: Ban) -> Recorded:
    identity = Identity(issuer, Subject("s"))
    return Recorded(identity, True, frozenset(), ACCOUNT, bans=bans)


def test_a_ban_says_what_it_is_of_and_never_the_tokens_id() -> None:
    """Words that may be pasted into a ticket."""
    person, group = Identity(A, Subject("s")), Group(A, "vo")
    kinds = {
        BanKind.ACCOUNT: ban(),
        BanKind.IDENTITY: Ban(1, 1, person, "r", "a", AT, None),
        BanKind.GROUP: Ban(1, None, None, "r", "a", AT, None, group=group),
        BanKind.ISSUER: ban(A),
        BanKind.TOKEN: ban(A, "a-token-id"),
    }
    assert {one.kind: one for one in kinds.values()} == kinds
    assert "a-token-id" not in kinds[BanKind.TOKEN].of
    assert [one.of for one in list(kinds.values())[1:]] == [
        f"identity {person}",
        f"group {group}",
        f"issuer {A}",
        f"one token of {A}",
    ]


@pytest.mark.parametrize("token_id", [None, "t1", "t2"])
@pytest.mark.parametrize("issuer", [A, B])
def test_a_credential_of_a_banned_issuer_or_token_is_refused_and_no_other(
    issuer: Issuer, token_id: str | None
) -> None:
    """The person's account stays open: an ssh key of theirs still works."""
    refused = CredentialBans.of([ban(A), ban(B, "t1")])
    decision = decide(recorded(issuer), EMPTY_RULES, AT, SSH, token(issuer, token_id), refused)
    banned = issuer == A or token_id == "t1"
    assert decision.reasons == ((Reason.BANNED,) if banned else (Reason.OK,))
    assert decide(recorded(issuer), EMPTY_RULES, AT, SSH, None, refused).allowed


def test_a_ban_of_a_credential_ends_when_it_says() -> None:
    refused = CredentialBans.of([ban(A, until=AT + 10), ban(B, "t", until=AT + 20)])
    for one, end in ((token(A, None), AT + 10), (token(B, "t"), AT + 20)):
        facts = recorded(one.identity.issuer)
        for at, reason in ((end - 1, Reason.BANNED), (end, Reason.OK)):
            assert decide(facts, EMPTY_RULES, at, SSH, one, refused).reason is reason
    assert refused.issuers_at(AT) == ((A, AT + 10),)
    assert refused.tokens_at(AT + 19) == (((B, "t"), AT + 20),)
    assert (refused.issuers_at(AT + 10), refused.tokens_at(AT + 20)) == ((), ())


def test_of_two_bans_of_one_thing_the_longer_counts() -> None:
    refused = CredentialBans.of(
        [ban(A, until=AT + 1), ban(A), ban(B, "t", AT + 5), ban(B, "t", AT)]
    )
    assert refused.issuers_at(AT) == ((A, 0),)
    assert refused.tokens_at(AT) == (((B, "t"), AT + 5),)
    assert refused.find(A, None, AT + 99) is not None


def test_a_banned_issuer_that_became_anothers_alias_is_banned_by_that_name() -> None:
    """Its tokens are the other's now; both strings are refused."""
    refused = CredentialBans.of([ban(A), ban(A, "t")], {A: B, B: B})
    assert refused.find(B, None, AT) is not None
    assert CredentialBans.of([ban(A, "t")], {A: B}).find(B, "t", AT) is not None
    assert refused.find(C, "t", AT) is None


def test_a_ban_twice_over_is_one_reason() -> None:
    """The person and their token."""
    refused = CredentialBans.of([ban(A)])
    decision = decide(recorded(A, ban(A)), EMPTY_RULES, AT, SSH, token(A, None), refused)
    assert decision.reasons == (Reason.BANNED,)


@pytest.mark.parametrize(
    ("issuers", "closed_until"),
    [
        ((), None),
        ((A,), AT + 10),
        ((B,), AT + 20),
        ((C,), None),
        ((A, C), None),
        ((A, B), AT + 10),
    ],
)
def test_an_account_is_closed_while_every_issuer_of_its_identities_is_banned(
    issuers: tuple[Issuer, ...], closed_until: int | None
) -> None:
    """And open again with the first of them; who has no identity has nothing to do with issuers."""
    banned = {A: (ban(A, until=AT + 10),), B: (ban(B, until=AT + 20), ban(B, until=AT + 5))}
    found = closing_bans(issuers, banned)
    held = [at for at in range(AT, AT + 25) if any(one.holds(at) for one in found)]
    assert held == ([] if closed_until is None else list(range(AT, closed_until)))


@given(
    st.dictionaries(
        st.sampled_from([A, B, C]),
        st.lists(st.one_of(st.none(), st.integers(AT - 3, AT + 9)), min_size=1, max_size=3),
    ),
    st.frozensets(st.sampled_from([A, B, C])),
    st.integers(AT - 4, AT + 10),
)
def test_closing_bans_hold_when_a_ban_of_each_issuer_holds(
    ends: dict[Issuer, list[int | None]], issuers: frozenset[Issuer], at: int
) -> None:
    """Whatever bans there are, over or not."""
    banned = {
        issuer: tuple(ban(issuer, until=end) for end in some) for issuer, some in ends.items()
    }
    each = [any(one.holds(at) for one in banned.get(issuer, ())) for issuer in issuers]
    closed = any(one.holds(at) for one in closing_bans(issuers, banned))
    assert closed == (bool(each) and all(each))


def test_nobody_is_unlinked_while_an_issuer_of_the_account_is_banned() -> None:
    """The other identity keeps the account open; without it the ban would close it."""
    own = [recorded(A), recorded(B)]
    check_unlink(ACCOUNT, own, AT)
    for issuer, refuses in ((A, True), (C, False)):
        refused = CredentialBans.of([ban(issuer)])
        if refuses:
            with pytest.raises(Refused) as caught:
                check_unlink(ACCOUNT, own, AT, refused)
            assert caught.value.reason is Reason.BANNED
        else:
            check_unlink(ACCOUNT, own, AT, refused)
    check_unlink(ACCOUNT, own, AT, CredentialBans.of([ban(A, until=AT)]))


def test_a_tokens_digest_depends_on_salt_issuer_and_id() -> None:
    """It is that of an identity with the same strings, and lies in another place."""
    digests = {
        token_digest(salt, issuer, token_id)
        for salt in (b"1" * 32, b"2" * 32)
        for issuer in (A, B)
        for token_id in ("t", "T", "", "\0", "\ud800")
    }
    assert len(digests) == 20
    assert token_digest(b"s", A, "x") == identity_digest(b"s", Identity(A, Subject("x")))


def test_nothing_is_refused_by_default() -> None:
    assert NO_CREDENTIAL_BANS.find(A, "t", AT) is None
