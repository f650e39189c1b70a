"""Lists by pages: whole, in order, each row once, whatever is asked and whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from idmap.application.ports import Author, CredentialKind, Registry, RegistryReader, RunRecord
from idmap.application.questions import (
    AccountQuestion,
    BanQuestion,
    ChangeQuestion,
    GroupQuestion,
    IdentityQuestion,
    Page,
)
from idmap.domain.accounts import Account, AccountEvent, AccountState
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    NOW,
    OTHER,
    STAFF,
    VO,
    document,
    opening,
    person,
    profile,
)

NAMES = [
    "al", "alice", "al_x", "al__x", "al0", "alx", "alan_x", "alanx", "bob", "b_b", "b9b", "bb",
    "carol", "dan", "eve", "z", "zz", "_a", "al9",
]  # fmt: skip
"""In an order that is not theirs: `0` < `_` < `a` only byte by byte."""

STAFF_NAME = "g300001"
"""As the site's group is called that nobody gave a name."""

Asker = Callable[[RegistryReader, Any, int], Page[Any]]


@pytest.fixture
def people(registry: Registry) -> Registry:
    """Accounts in every state, of two issuers; a few identities without one."""
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
        for number, name in enumerate(NAMES):
            who = person(name, OTHER if number % 3 == 0 else ISSUER)
            more: dict[str, Any] = {"rule_id": f"rule{number % 2}"}
            if number % 4 == 0:
                more["secondary_groups"] = (STAFF,)
            account = writer.open_account(opening(who, name, **more))
            match number % 5:
                case 1:
                    writer.move_account(account.account_id, AccountEvent.SUSPENDED_BY_PERSON)
                case 2:
                    lost = AccountEvent.ENTITLEMENT_LOST
                    writer.move_account(account.account_id, lost, date(2024, 1, 1 + number))
                case 3 if number > 10:
                    writer.move_account(account.account_id, AccountEvent.CLOSED)
            groups = {VO, STAFF} if number % 2 else {VO}
            theirs = frozenset(Group(who.issuer, group.path) for group in groups)
            writer.record_observation(who, theirs, None, NOW, robot=number % 7 == 0)
        for number in range(4):
            writer.record_observation(
                person(f"newcomer{number}"), frozenset({STAFF}), None, NOW, robot=number == 1
            )
    return registry


def every(reader: RegistryReader, ask: Asker, limit: int) -> list[Any]:
    """The whole list, by pages of `limit`; `next` as it comes over HTTP."""
    found: list[Any] = []
    after: Any = None
    for _ in range(200):
        page = ask(reader, after, limit)
        assert len(page.items) <= limit
        found += page.items
        if page.next is None:
            return found
        assert len(page.items) == limit
        after = str(page.next)
    raise AssertionError("the pages have no end")


def accounts(asked: AccountQuestion) -> Asker:
    return lambda reader, after, limit: reader.page_of_accounts(asked, after=after, limit=limit)


def identities(asked: IdentityQuestion) -> Asker:
    return lambda reader, after, limit: reader.page_of_identities(asked, after=after, limit=limit)


def changes(asked: ChangeQuestion) -> Asker:
    return lambda reader, after, limit: reader.page_of_changes(asked, after=after, limit=limit)


def bans(asked: BanQuestion) -> Asker:
    return lambda reader, after, limit: reader.page_of_bans(asked, after=after, limit=limit)


def _holds(asked: AccountQuestion, account: Account, issuers: set[str]) -> bool:
    """The question once more, without a database."""
    groups = {group.name for group in (account.primary_group, *account.secondary_groups)}
    answers = {
        "state": account.state is asked.state,
        "rules": account.rule_id in (asked.rules or ()),
        "group": asked.group in groups,
        "issuer": asked.issuer in issuers,
        "prefix": account.username.startswith(asked.prefix or ""),
        "search": (asked.search or "").lower() in account.username.lower(),
        "uid_from": account.uid_number >= (asked.uid_from or 0),
        "uid_to": account.uid_number <= (asked.uid_to or 0),
        "grace_before": account.grace_until is not None
        and account.grace_until < (asked.grace_before or date.max),
        "held": account.held is asked.held,
    }
    assert set(answers) == {field.name for field in fields(asked)}
    return all(answers[name] for name in answers if getattr(asked, name) is not None)


ACCOUNT_QUESTIONS = [
    AccountQuestion(),
    *(AccountQuestion(state=state) for state in AccountState),
    AccountQuestion(rules=frozenset({"rule1"})),
    AccountQuestion(rules=frozenset({"rule0", "rule1"})),
    AccountQuestion(rules=frozenset()),
    AccountQuestion(group="vo"),
    AccountQuestion(group=STAFF_NAME),
    AccountQuestion(group="nobody's"),
    AccountQuestion(issuer=OTHER),
    AccountQuestion(issuer="https://other.example.org"),
    *(AccountQuestion(prefix=prefix) for prefix in ("al", "al_", "al-", "b", "z", "_", "x", "AL")),
    *(AccountQuestion(search=search) for search in ("AL", "_x", "-", "%", "b")),
    AccountQuestion(uid_from=200_004),
    AccountQuestion(uid_to=200_004),
    AccountQuestion(uid_from=200_004, uid_to=200_009),
    AccountQuestion(grace_before=date(2024, 1, 9)),
    AccountQuestion(held=True),
    AccountQuestion(held=False),
    AccountQuestion(prefix="al", state=AccountState.ACTIVE, group=STAFF_NAME),
    AccountQuestion(uid_from=200_000, issuer=ISSUER, rules=frozenset({"rule0"})),
    AccountQuestion(group="vo", state=AccountState.SUSPENDED, held=True, search="a"),
]


@pytest.mark.parametrize("asked", ACCOUNT_QUESTIONS, ids=str)
def test_accounts_are_those_asked_for_each_once_in_order(
    people: Registry, asked: AccountQuestion
) -> None:
    with people.read() as reader:
        expected = [
            account
            for account in reader.every_account()
            if _holds(asked, account, {i.issuer for i in reader.identities_of(account.account_id)})
        ]
        if asked.prefix is not None:
            expected.sort(key=lambda account: account.username.encode())
        elif asked.uid_from is not None or asked.uid_to is not None:
            expected.sort(key=lambda account: account.uid_number)
        for limit in (1, 2, 3, 7, 100):
            assert every(reader, accounts(asked), limit) == expected


@pytest.mark.parametrize(
    "asked",
    [
        IdentityQuestion(),
        IdentityQuestion(issuer=OTHER),
        IdentityQuestion(issuer=ISSUER, prefix="al"),
        IdentityQuestion(issuer=ISSUER, prefix="newcomer"),
        IdentityQuestion(linked=True),
        IdentityQuestion(linked=False),
        IdentityQuestion(active=True),
        IdentityQuestion(active=False),
        IdentityQuestion(robot=True),
        IdentityQuestion(group="vo/staff_members"),
        IdentityQuestion(group="vo/staff_members", linked=False, robot=False),
        IdentityQuestion(group="nobody's"),
        IdentityQuestion(issuer=ISSUER, group="vo", linked=True),
    ],
    ids=str,
)
def test_identities_are_those_asked_for_with_all_that_is_recorded(
    people: Registry, asked: IdentityQuestion
) -> None:
    with people.write(AUTHOR) as writer:
        writer.add_ban(account_id=1, identity=None, reason="b", until=None, at=NOW)
        writer.add_ban(
            account_id=None, identity=person("newcomer1"), reason="b", until=None, at=NOW
        )
    with people.read() as reader:
        expected = [
            facts.recorded
            for facts in reader.people()
            if asked.issuer in (None, facts.recorded.identity.issuer)
            and facts.recorded.identity.subject.startswith(asked.prefix or "")
            and asked.linked in (None, facts.recorded.account is not None)
            and asked.active in (None, facts.recorded.active_at_source)
            and asked.robot in (None, facts.recorded.robot)
            and (asked.group is None or asked.group in {g.path for g in facts.recorded.groups})
        ]
        if asked.issuer is not None:
            expected.sort(key=lambda recorded: recorded.identity.subject.encode())
        for limit in (1, 3, 100):
            assert every(reader, identities(asked), limit) == expected


def test_a_prefix_of_subjects_belongs_to_an_issuer(people: Registry) -> None:
    with (
        people.read() as reader,
        pytest.raises(InvalidInput, check=lambda e: e.reason is Reason.REQUEST_INVALID),
    ):
        reader.page_of_identities(IdentityQuestion(prefix="a"))


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 30, ""])
def test_what_is_no_key_of_the_list_is_refused(people: Registry, after: str) -> None:
    with people.read() as reader:
        for ask in (accounts(AccountQuestion()), changes(ChangeQuestion()), bans(BanQuestion())):
            with pytest.raises(InvalidInput, check=lambda e: e.reason is Reason.REQUEST_INVALID):
                ask(reader, after, 10)


def test_nothing_is_skipped_or_shown_twice_while_others_write(people: Registry) -> None:
    """Between the pages some are closed, some suspended, and new ones come: who was there is shown, once."""
    with people.read() as reader:
        before = [account.account_id for account in reader.every_account()]
    for asked in (AccountQuestion(), AccountQuestion(prefix=""), AccountQuestion(uid_from=0)):
        seen: list[int] = []
        after: Any = None
        for number in range(100):
            with people.read() as reader:
                page = reader.page_of_accounts(asked, after=after, limit=3)
            seen += [account.account_id for account in page.items]
            if page.next is None:
                break
            after = page.next
            with people.write(AUTHOR) as writer:
                new = f"{'az'[number % 2]}new{asked.prefix is None:d}{asked.uid_from is None:d}{number}"
                writer.open_account(opening(person(new), new))
                state = writer.find_account(account_id=before[0])
                assert state is not None
                if state.state is AccountState.ACTIVE:
                    writer.move_account(before[0], AccountEvent.CLOSED)
        assert len(seen) == len(set(seen))
        assert set(before) <= set(seen)


def test_groups_are_listed_by_number_and_by_name(registry: Registry) -> None:
    with registry.read() as reader:
        both = every(reader, lambda r, a, n: r.page_of_groups(GroupQuestion(), after=a, limit=n), 1)
        assert [posix.gid_number for _, posix in both] == [300_000, 300_001]
        assert dict(both) == dict(reader.posix_groups())
        (one,) = reader.page_of_groups(GroupQuestion(prefix="g3")).items
        assert one[0] == STAFF
        assert reader.page_of_groups(GroupQuestion(issuer=OTHER)).items == ()
        assert reader.find_group("vo") == reader.find_group("300000") == both[0]
        assert reader.find_group("nobody") is reader.find_group("1") is None


def test_bans_are_found_by_whom_they_reach_and_who_gave_them(people: Registry) -> None:
    other = Author("identity:carol", "another")
    with people.write(AUTHOR) as writer:
        writer.add_ban(account_id=1, identity=None, reason="a", until=None, at=NOW)
        writer.add_ban(account_id=None, identity=person("alice"), reason="b", until=NOW + 9, at=NOW)
        writer.add_ban(account_id=3, identity=None, reason="c", until=None, at=NOW)
        writer.lift_ban(3)
    with people.write(other) as writer:
        writer.add_ban(account_id=2, identity=None, reason="d", until=None, at=NOW)

    def asked(**question: Any) -> list[int]:
        with people.read() as reader:
            return [ban.ban_id for ban in every(reader, bans(BanQuestion(**question)), 1)]

    assert asked() == [1, 2, 4]
    assert asked(at=NOW + 9) == [1, 4]
    assert asked(account_id=2) == [2, 4], "of the account and of its identity"
    assert asked(identity=person("alice")) == [2]
    assert asked(identity=person("alice", OTHER)) == []
    assert asked(author="identity:carol") == [4]
    with people.read() as reader:
        found = reader.find_ban(2)
        assert found is not None
        assert found.reason == "b"
        assert reader.find_ban(3) is None, "it was lifted"
        assert reader.bans() == reader.page_of_bans(BanQuestion()).items


def test_machines_are_found_while_their_credential_is_in_force(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        for number, name in enumerate(("n_2", "n-1", "n1", "gone")):
            writer.add_credential(
                CredentialKind.NODE, name, bytes([number]) * 32, node_class=name[0], at=NOW
            )
            writer.add_credential(CredentialKind.COMPONENT, name, bytes([9, number]) * 16, at=NOW)
        for kind in (CredentialKind.NODE, CredentialKind.COMPONENT):
            writer.revoke_credential(kind, "gone")
    with registry.read() as reader:

        def nodes(r: RegistryReader, after: Any, limit: int) -> Page[Any]:
            return r.page_of_nodes(after=after, limit=limit)

        def machines(r: RegistryReader, after: Any, limit: int) -> Page[Any]:
            return r.page_of_machines(CredentialKind.COMPONENT, after=after, limit=limit)

        assert [node.name for node in every(reader, nodes, 2)] == ["n-1", "n1", "n_2"]
        assert [c.name for c in every(reader, machines, 3)] == ["n_2", "n-1", "n1", "gone"]
        assert [n.name for n in reader.page_of_nodes(node_class="g").items] == []
        assert reader.find_node("gone") is None
        assert reader.find_machine(CredentialKind.COMPONENT, "gone") is None
        found = reader.find_machine(CredentialKind.COMPONENT, "n1")
        assert (found and found.kind) is CredentialKind.COMPONENT
        node = reader.find_node("n1")
        assert (node and node.node_class) == "n"


def test_the_record_is_found_by_author_action_time_and_whom_it_concerns(people: Registry) -> None:
    """Against a plain reading of the whole record."""
    with people.write(Author("identity:carol", "another")) as writer:
        ban = writer.add_ban(
            account_id=None, identity=person("alice"), reason="b", until=None, at=NOW
        )
        writer.lift_ban(ban.ban_id)
    with people.read() as reader:
        whole = reader.changes(limit=10_000)
        account = reader.find_account(username="alice")
        assert account is not None
        alice = reader.identities_of(account.account_id)[0]

        def found(**question: Any) -> list[int]:
            asked = ChangeQuestion(**question)
            return [entry.sequence for entry in every(reader, changes(asked), 2)]

        def expected(holds: Callable[[Any], bool]) -> list[int]:
            return [entry.sequence for entry in whole if holds(entry)]

        assert every(reader, changes(ChangeQuestion()), 7) == list(whole)
        assert found(author="identity:carol") == expected(lambda e: e.author == "identity:carol")
        assert found(action="open_account") == expected(lambda e: e.action == "open_account")
        assert found(since=NOW, until=NOW + 1) == [entry.sequence for entry in whole]
        assert found(until=NOW) == found(since=NOW + 1) == []
        of_alice = expected(lambda e: e.body.get("subject") == "alice")
        assert found(identity=alice) == of_alice
        assert {"open_account", "observe_person", "add_ban", "lift_ban"} <= {
            entry.action for entry in whole if entry.sequence in of_alice
        }
        both = expected(
            lambda e: (
                e.body.get("subject") == "alice" or e.body.get("account_id") == account.account_id
            )
        )
        assert found(account_id=account.account_id) == both
        assert len(both) > len(of_alice)
        assert found(account_id=account.account_id, action="move_account") == expected(
            lambda e: e.sequence in both and e.action == "move_account"
        )
        assert found(identity=replace(alice, issuer=OTHER)) == []


def test_runs_and_versions_of_the_rules_come_newest_first(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        for number in range(5):
            writer.save_rules(document(id=f"rule{number}"), expect_version=None)
            for name in ("a", "b"):
                writer.save_run(
                    RunRecord(f"{name}{number}", NOW + number // 2, None, "running", None, None)
                )
    with registry.read() as reader:
        versions = every(reader, lambda r, a, n: r.page_of_rules(after=a, limit=n), 2)
        assert [(v.version, v.rules, v.classes, v.author) for v in versions] == [
            (number, 1, 1, AUTHOR.name) for number in (5, 4, 3, 2, 1)
        ]
        runs = every(reader, lambda r, a, n: r.page_of_runs(after=a, limit=n), 3)
        assert runs == list(reader.runs(limit=100))
        assert len(runs) == 10


def test_a_group_of_another_issuer_with_the_same_path_counts_as_named(registry: Registry) -> None:
    """The path is what is asked for; with `issuer` the identity's own."""
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
        writer.record_observation(person("a"), frozenset({VO}), None, NOW)
        writer.record_observation(person("b", OTHER), frozenset({Group(OTHER, VO.path)}), None, NOW)
    with registry.read() as reader:
        assert len(reader.page_of_identities(IdentityQuestion(group=VO.path)).items) == 2
        of_other = reader.page_of_identities(IdentityQuestion(group=VO.path, issuer=OTHER))
        assert [one.identity.subject for one in of_other.items] == ["b"]
