"""A group of INDIGO IAM is its uuid: found again after a rename, told apart after it was made anew."""

from __future__ import annotations

from typing import Literal

import pytest

from idmap.domain.errors import SourceFailed
from idmap.domain.groups import Group
from idmap.domain.reasons import Reason
from idmap.domain.spelling import Spelling
from tests.adapters.indigo_iam.conftest import ISSUER, Reader

GPU = Group(ISSUER, "demo/gpu")
NEW = Group(ISSUER, "demo/accelerators")
Way = Literal["accounts", "scim"]
WAYS = pytest.mark.parametrize("way", ["accounts", "scim"])


def quiet(what: str, done: int, total: int | None) -> None:
    """Nobody watches."""


@WAYS
def test_a_renamed_group_is_listed_under_its_path_of_now(own_small: Reader, way: Way) -> None:
    source = own_small.source(way)
    first = source.observe(frozenset({GPU}), quiet)
    assert list(first.group_ids) == [GPU]
    own_small.iam.change("rename_group", group="demo/gpu", path="demo/accelerators")
    second = source.observe(frozenset({GPU}), quiet, first.group_ids)
    assert second.watched == {NEW}
    assert second.group_ids == {NEW: first.group_ids[GPU]}
    assert {p.identity for p in second.people} == {p.identity for p in first.people}
    assert {g for p in second.people for g in p.groups} == {NEW}


@WAYS
def test_the_old_path_in_other_hands_does_not_hide_the_rename(own_small: Reader, way: Way) -> None:
    """Known by its uuid, the group is found; whoever has the path now is not asked about."""
    source = own_small.source(way)
    first = source.observe(frozenset({GPU}), quiet)
    own_small.iam.change("rename_group", group="demo/gpu", path="demo/accelerators")
    own_small.iam.control(
        "POST", "groups", {"path": "demo/gpu", "id": "11111111-2222-4333-8444-555555555555"}
    )
    second = source.observe(frozenset({GPU}), quiet, first.group_ids)
    assert second.group_ids == {NEW: first.group_ids[GPU]}


@WAYS
def test_a_uuid_that_is_gone_tells_the_new_one_at_the_path(own_small: Reader, way: Way) -> None:
    """The registry then refuses: see the contract."""
    listing = own_small.source(way).observe(frozenset({GPU}), quiet, {GPU: "no-such-uuid"})
    assert listing.watched == {GPU}
    assert listing.group_ids[GPU] != "no-such-uuid"


@WAYS
def test_a_group_that_is_gone_altogether_is_missing(own_small: Reader, way: Way) -> None:
    nowhere = Group(ISSUER, "demo/nowhere")
    with pytest.raises(SourceFailed, check=lambda e: e.reason is Reason.SOURCE_GROUP_MISSING):
        own_small.source(way).observe(frozenset({nowhere}), quiet, {nowhere: "no-such-uuid"})


@WAYS
def test_names_and_the_local_part_of_the_address_are_told_for_spelling(
    own_small: Reader, way: Way
) -> None:
    people = own_small.source(way).observe(frozenset({GPU}), quiet).people
    assert people
    for person in people:
        assert person.spelling != Spelling()
        assert person.spelling.email is None or "@" not in person.spelling.email
