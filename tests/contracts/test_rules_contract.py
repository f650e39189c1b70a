"""Versions of the rules, their reasons and the pin: the same on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from idmap.application.ports import Author, Registry
from idmap.domain.errors import NotFound
from idmap.domain.groups import Group
from idmap.domain.rule_fields import RuleFault
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    NOW,
    VO,
    document,
    listed,
    listing,
    profile,
)

DEMAND = {"id": "mfa", "doors": ["ssh:login"], "acr": ["https://refeds.org/profile/mfa"]}


def _save(registry: Registry, written: dict[str, Any], why: str = "a test") -> int:
    with registry.write(Author("admin-key", why)) as writer:
        return writer.save_rules(written, expect_version=None).version


def _pin(registry: Registry, version: int) -> None:
    with registry.write(Author("identity:anna", "until the audit")) as writer:
        writer.pin_rules(version)


def _revision(registry: Registry) -> int:
    with registry.read() as reader:
        return reader.revision()


def test_versions_say_who_saved_them_and_why(registry: Registry) -> None:
    """Newest first, page by page."""
    for number in range(3):
        _save(registry, document(), f"reason {number}")
    with registry.read() as reader:
        page = reader.page_of_rules(limit=2)
        rest = reader.page_of_rules(after=page.next, limit=2)
    assert [(v.version, v.reason) for v in (*page.items, *rest.items)] == [
        (3, "reason 2"),
        (2, "reason 1"),
        (1, "reason 0"),
    ]
    assert [v.in_force for v in (*page.items, *rest.items)] == [True, False, False]
    assert rest.next is None


def test_the_pinned_version_is_in_force(registry: Registry) -> None:
    """Whatever is saved after it; without a pin it is the newest."""
    _save(registry, document())
    _save(registry, document(id="second"))
    _pin(registry, 1)
    assert _save(registry, document(id="third")) == 3
    with registry.read() as reader:
        pin = reader.rules_pin()
        assert pin is not None
        assert (pin.version, pin.author, pin.reason) == (1, "identity:anna", "until the audit")
        assert reader.rules().version == 1
        assert reader.rules_of(2).find_rule("second") is not None
        found = reader.rules_document()
        assert found is not None
        assert found[0] == 3
        page = reader.page_of_rules()
        assert [(v.version, v.in_force, v.pinned) for v in page.items] == [
            (3, False, False),
            (2, False, False),
            (1, True, True),
        ]
    with registry.write(AUTHOR) as writer:
        writer.unpin_rules()
        assert writer.rules_pin() is None
    with registry.read() as reader:
        assert reader.rules().version == 3


def test_another_pin_replaces_the_one_there_is(registry: Registry) -> None:
    """And all of it is on the record."""
    _save(registry, document())
    _save(registry, document())
    _pin(registry, 1)
    _pin(registry, 2)
    with registry.write(AUTHOR) as writer:
        writer.unpin_rules()
    with registry.read() as reader:
        actions = [(c.action, (c.body or {}).get("version")) for c in reader.changes()]
    assert actions[-3:] == [("pin_rules", 1), ("pin_rules", 2), ("unpin_rules", 2)]


@pytest.mark.parametrize("version", [0, 2])
def test_what_is_not_there_is_neither_pinned_nor_read(registry: Registry, version: int) -> None:
    """Nor is a pin ended that is none."""
    _save(registry, document())
    with registry.write(AUTHOR) as writer:
        for refused in (
            lambda: writer.pin_rules(version),
            lambda: writer.rules_of(version),
            writer.unpin_rules,
        ):
            with pytest.raises(NotFound):
                refused()


def test_nodes_hear_of_demands_and_of_nothing_else_in_the_rules(registry: Registry) -> None:
    """When those in force change: by a save, by a pin, by its end; not by a save beside a pin."""
    _save(registry, document())
    before = _revision(registry)
    _save(registry, document(id="renamed"))
    assert _revision(registry) == before
    demanding = {**document(), "format": 2, "demands": [DEMAND]}
    _save(registry, demanding)
    assert _revision(registry) == before + 1
    _save(registry, {**demanding, "groups": {"range": "groups"}})
    assert _revision(registry) == before + 1
    _pin(registry, 1)
    assert _revision(registry) == before + 2
    _save(registry, {**demanding, "demands": [{**DEMAND, "keys": "admit"}]})
    assert _revision(registry) == before + 2
    with registry.write(AUTHOR) as writer:
        writer.unpin_rules()
    assert _revision(registry) == before + 3


def test_what_rules_name_is_looked_at_before_they_are_saved(registry: Registry) -> None:
    """The same refusal to whoever only asks."""
    _save(registry, document())
    strange = document(issuer="https://nobody.example/")
    with registry.read() as reader:
        assert reader.check_rules(document()).version == 2
        with pytest.raises(RuleFault) as asked:
            reader.check_rules(strange)
    with pytest.raises(RuleFault) as saved, registry.write(AUTHOR) as writer:
        writer.save_rules(strange, expect_version=None)
    assert str(asked.value) == str(saved.value)
    assert asked.value.pointer == "/rules/0/issuer"


def test_a_pinned_version_follows_renames(registry: Registry) -> None:
    """Of groups that were renamed while it was in force, also for the newer versions beside it."""
    _save(registry, document())
    _pin(registry, 1)
    _save(registry, document(id="newer"))
    now = Group(ISSUER, "renamed")
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile())
        first = listing(listed("a", VO), watched=(VO,))
        writer.record_listing(_with_id(first, VO))
        writer.record_listing(
            _with_id(listing(listed("a", now), began=NOW + 1, watched=(now,)), now)
        )
    with registry.read() as reader:
        assert reader.rules().groups() == {now}
        assert reader.rules_of(2).groups() == {now}
        assert [path.named_by for path in reader.former_paths()] == [
            ("rule members", "class member")
        ]


def test_a_path_that_another_group_has_later_never_changes_what_is_in_force(
    registry: Registry,
) -> None:
    """Renamed, taken by a second group, renamed again: the pinned version means the first one all the time."""
    _save(registry, document())
    _pin(registry, 1)
    _save(registry, document())
    first, second = Group(ISSUER, "first"), Group(ISSUER, "second")
    steps: list[dict[Group, str]] = [
        {VO: "id-1"},
        {first: "id-1"},
        {first: "id-1", VO: "id-2"},
        {first: "id-1", second: "id-2"},
    ]
    for number, ids in enumerate(steps):
        if number == 3:
            _save(registry, document())
        found = listing(listed("a", *ids), began=NOW + number, watched=tuple(ids))
        with registry.write(AUTHOR) as writer:
            writer.record_listing(replace(found, group_ids=ids))
    with registry.read() as reader:
        assert reader.rules().version == 1
        assert reader.rules().groups() == {first}


def _with_id(found: Any, group: Group) -> Any:
    return replace(found, group_ids={group: "id-1"})
