"""Other rules come into force only after every check, and a ban waits for none of them (law 5)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from idmap.application.ports import (
    Author,
    CredentialKind,
    Registry,
    RegistryReader,
    RegistryWriter,
)
from idmap.application.save_rules import (
    RulesChange,
    pin_rules,
    roll_back,
    save_rules,
    unpin_rules,
)
from idmap.domain.errors import Conflict, IdmapError, NotFound
from idmap.domain.findings import RulesRefused
from idmap.domain.guard import GuardLimits, RulesTakeAway
from idmap.domain.names import GroupName
from idmap.domain.plans import OpenGroup
from idmap.domain.reasons import Reason
from idmap.domain.rule_fields import RuleFault
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    NOW,
    STAFF,
    VO,
    document,
    furnish,
    listed,
    listing,
    opening,
    person,
)
from tests.support.watched_registry import WatchedRegistry

PEOPLE = 10
NOBODY: dict[str, Any] = {"format": 2}
STAFF_ONLY = document(group="vo/staff_members")


@pytest.fixture
def registry() -> Iterator[Registry]:
    """Ten people in the group, two of them staff; version 1 gives them all an account."""
    registry = make_registry()
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=None)
        people = [listed(f"p{n}", VO, *([STAFF] if n < 2 else [])) for n in range(PEOPLE)]
        writer.record_listing(listing(*people))
        writer.open_account(opening(person("p0"), "anna"))
        writer.add_credential(CredentialKind.ADMIN_KEY, "bootstrap", bytes(32), at=NOW)
    yield registry
    registry.close()


def change(**more: Any) -> RulesChange:
    """By an administrator, under the guard's own limits."""
    given: dict[str, Any] = {"author": Author("admin-key", "a test"), "limits": GuardLimits()}
    return RulesChange(**{**given, "at": NOW, **more})


def versions(registry: Registry) -> tuple[int, int]:
    """The newest and the one in force."""
    with registry.read() as reader:
        found = reader.rules_document()
        return (0 if found is None else found[0], reader.rules().version)


class BusyRegistry(WatchedRegistry):
    """Somebody else is busy between the look at everybody and the save."""

    between: Callable[[], None] = staticmethod(lambda: None)

    @contextmanager
    def read(self) -> Iterator[RegistryReader]:
        with super().read() as reader:
            yield reader
            self.between()

    @contextmanager
    def write(self, author: Author) -> Iterator[RegistryWriter]:
        with self.inner.write(author) as writer:
            yield writer


@pytest.mark.parametrize("taken", [NOBODY, STAFF_ONLY])
def test_rules_that_take_too_much_away_are_refused_with_the_counts(
    registry: Registry, taken: dict[str, Any]
) -> None:
    """Unless somebody has accepted as many losers as there are."""
    with pytest.raises(RulesTakeAway) as caught:
        save_rules(registry, change(), taken)
    loses = PEOPLE if taken is NOBODY else PEOPLE - 2
    assert caught.value.more == {"loses": loses, "allowed": 3, "entitled": PEOPLE}
    assert caught.value.reason is Reason.RULES_TAKE_AWAY
    with pytest.raises(RulesTakeAway):
        save_rules(registry, change(accept_loss=loses - 1), taken)
    assert versions(registry) == (1, 1)
    saved = save_rules(registry, change(accept_loss=loses), taken)
    assert (saved.compared.loses, versions(registry)) == (loses, (2, 2))


def test_the_last_person_is_never_within_the_limits(registry: Registry) -> None:
    """A floor of three would let a small site be emptied by a typo."""
    save_rules(registry, change(accept_loss=8), STAFF_ONLY)
    with pytest.raises(RulesTakeAway) as caught:
        save_rules(registry, change(), NOBODY)
    assert "nobody would be entitled" in caught.value.detail
    assert caught.value.more["loses"] == 2


def test_a_canary_is_never_within_the_limits(registry: Registry) -> None:
    """Whoever may be lost, not the one that is watched."""
    limits = GuardLimits(max_percent=100, canaries=frozenset({"anna"}))
    wide = GuardLimits(max_percent=100)
    without = {"id": "no", "effect": "deny", "issuer": ISSUER, "group": "vo/staff_members"}
    denying = {**document(), "format": 2, "rules": [*document()["rules"], without]}
    with pytest.raises(RulesTakeAway, match="canary anna"):
        save_rules(registry, change(limits=limits), denying)
    assert save_rules(registry, change(limits=wide), denying).compared.loses == 2


def test_what_is_wrong_refuses_before_anybody_is_looked_at(registry: Registry) -> None:
    """Unknown members, ranges, examples that fail and errors that the linter finds; each with its place."""
    rule = document()["rules"][0]
    never = {**rule, "id": "x", "when": {"groups": {"all": ["vo"], "none": ["vo"]}}}
    del never["group"]
    example = {"name": "e", "issuer": ISSUER, "groups": [], "expect": {"rule": "members"}}
    wrong: list[tuple[dict[str, Any], type[IdmapError], str]] = [
        ({**document(), "rul": []}, RuleFault, "/rul"),
        ({**document(), "format": 2, "rules": [rule, never]}, RulesRefused, "/rules/1"),
        ({**document(), "format": 2, "examples": [example]}, RuleFault, "/examples/0"),
        (document(issuer="https://nobody.example/"), RuleFault, "/rules/0/issuer"),
        (
            {
                **document(),
                "classes": {"member": {**document()["classes"]["member"], "range": "no"}},
            },
            RuleFault,
            "/classes/member/range",
        ),
    ]
    for broken, kind, place in wrong:
        with pytest.raises(kind) as caught:
            save_rules(registry, change(accept_loss=PEOPLE), broken)
        assert isinstance(caught.value, RuleFault)
        assert caught.value.pointer == place
    assert versions(registry) == (1, 1)


def test_a_ban_waits_for_no_what_if(registry: Registry) -> None:
    """While everybody is looked at another thread bans somebody: at once, and the save goes on."""
    busy = BusyRegistry(registry)
    done: list[bool] = []

    def ban() -> None:
        with registry.write(AUTHOR) as writer:
            writer.add_ban(
                account_id=None, identity=person("p3"), reason="stolen", until=None, at=NOW
            )

    def between() -> None:
        thread = threading.Thread(target=ban)
        thread.start()
        thread.join(5)
        done.append(not thread.is_alive())

    busy.between = between
    assert save_rules(busy, change(accept_loss=8), STAFF_ONLY).rules.version == 2
    assert done == [True]
    with registry.read() as reader:
        assert len(reader.bans()) == 1


def test_checks_are_made_again_when_what_they_rest_on_moved(registry: Registry) -> None:
    """Once; somebody who never stops changing things is a conflict, and nothing is saved."""
    busy = BusyRegistry(registry)
    numbers = iter(range(100))

    def add_group() -> None:
        with registry.write(AUTHOR) as writer:
            writer.open_group(
                OpenGroup(VO.__class__(ISSUER, f"vo/g{next(numbers)}"), GroupName("x")),
                group_range="groups",
            )

    looked: list[int] = []

    def once() -> None:
        looked.append(1)
        if len(looked) == 1:
            add_group()

    busy.between = once
    assert save_rules(busy, change(accept_loss=8), STAFF_ONLY).rules.version == 2
    assert len(looked) == 2
    busy.between = add_group
    with pytest.raises(Conflict) as caught:
        save_rules(busy, change(), document())
    assert caught.value.reason is Reason.PLAN_STALE
    assert versions(registry) == (2, 2)


def test_a_version_that_was_not_seen_is_not_overwritten(registry: Registry) -> None:
    """Said before the what-if, and again in the transaction."""
    with pytest.raises(Conflict) as caught:
        save_rules(registry, change(expect_version=0), document())
    assert caught.value.reason is Reason.VERSION_CONFLICT


def test_going_back_is_a_new_version_with_the_same_checks(registry: Registry) -> None:
    """Back to few is refused like any other; back to all is not."""
    save_rules(registry, change(accept_loss=8), STAFF_ONLY)
    back = roll_back(registry, change(), 1)
    assert (back.rules.version, back.compared.gains, back.document) == (3, 8, document())
    with pytest.raises(RulesTakeAway):
        roll_back(registry, change(), 2)
    with pytest.raises(NotFound):
        roll_back(registry, change(), 9)
    assert versions(registry) == (3, 3)


def test_a_pin_keeps_a_version_in_force(registry: Registry) -> None:
    """Newer ones are saved and decide nothing; the end of the pin is looked at like any change."""
    pinned, _ = pin_rules(registry, change(), 1)
    assert pinned.reason == "a test"
    saved = save_rules(registry, change(accept_loss=8), STAFF_ONLY)
    assert (saved.rules.version, saved.in_force, versions(registry)) == (2, 1, (2, 1))
    with pytest.raises(RulesTakeAway):
        unpin_rules(registry, change())
    with pytest.raises(RulesTakeAway):
        pin_rules(registry, change(), 2)
    assert versions(registry) == (2, 1)
    newest, compared = unpin_rules(registry, change(accept_loss=8))
    assert (newest, compared.loses, versions(registry)) == (2, 8, (2, 2))
    for refused in (
        lambda: pin_rules(registry, change(), 7),
        lambda: unpin_rules(registry, change()),
    ):
        with pytest.raises(NotFound):
            refused()


def test_rules_after_which_nobody_could_save_rules_are_refused(registry: Registry) -> None:
    """Without an admin key in force somebody has to be a site-admin; going back to such rules is refused too."""
    with registry.write(AUTHOR) as writer:
        writer.revoke_credential(CredentialKind.ADMIN_KEY, "bootstrap")
    with pytest.raises(RuleFault) as caught:
        save_rules(registry, change(), document())
    assert caught.value.pointer == "/admins"
    with pytest.raises(RuleFault):
        roll_back(registry, change(), 1)
    admin = {"role": "site-admin", "issuer": ISSUER, "subject": "anna"}
    assert save_rules(registry, change(), {**document(), "format": 2, "admins": [admin]})
