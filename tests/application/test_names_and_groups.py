"""Names and groups through whole nightly runs: strategies, private groups, renames, groups of the site's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from idmap.application.local_groups import add_local_group, add_member, remove_member
from idmap.application.ports import Author
from idmap.application.provision_report import Outcome
from idmap.domain.errors import NotFound
from idmap.domain.groups import local_group
from idmap.domain.reasons import Reason
from idmap.domain.spelling import Spelling
from tests.support.provisioning import RULES, Site, ToldSource, group, open_registry

ADMIN = Author("admin-key", "a test")
IDS = {"demo/compute": "id-c", "demo/gpu": "id-g", "demo/data": "id-d"}


@pytest.fixture
def site() -> Iterator[Site]:
    """Two people in every group, ids told."""
    with open_registry() as registry:
        source = ToldSource(members={path: {"alice", "bob"} for path in IDS}, ids=dict(IDS))
        made = Site(registry, source).prepare()
        assert made.run().outcome is Outcome.APPLIED
        yield made


def rules_with(**more: Any) -> dict[str, Any]:
    """The usual rules with other members in their class."""
    classes = {"member": {**RULES["classes"]["member"], **more}}
    return {**RULES, "classes": classes}


def posix(site: Site) -> dict[str, tuple[str, int]]:
    """Path → name and gid."""
    with site.registry.read() as reader:
        return {g.path: (p.name, p.gid_number) for g, p in reader.posix_groups().items()}


def rename(site: Site, before: str, after: str) -> None:
    """At the source."""
    site.source.members[after] = site.source.members.pop(before)
    site.source.ids[after] = site.source.ids.pop(before)
    site.later(days=1)


# --- renames ----------------------------------------------------------------------------------


def test_a_rename_at_the_source_takes_nothing_from_anybody(site: Site) -> None:
    """Gid, name and members stay; the report says which rules still say the former path, every night."""
    before, accounts = posix(site), (site.account("alice"), site.account("bob"))
    rename(site, "demo/gpu", "demo/accelerators")
    report = site.run()
    assert report.outcome is Outcome.NOTHING_TO_DO
    assert report.notes == (
        "group demo/gpu is demo/accelerators now; still named so by rule compute",
    )
    after = posix(site)
    assert after["demo/accelerators"] == before["demo/gpu"]
    assert "demo/gpu" not in after
    assert (site.account("alice"), site.account("bob")) == accounts
    site.later(days=1)
    again = site.run()
    assert again.outcome is Outcome.NOTHING_TO_DO
    assert again.notes == report.notes
    site.source.members["demo/accelerators"].add("carol")
    site.source.members["demo/compute"].add("carol")
    site.later(days=1)
    assert site.run().outcome is Outcome.APPLIED
    names = [g.name for g in site.account("carol").secondary_groups]
    assert "demo_gpu" in names, "the name is sticky"


def test_the_group_that_gives_accounts_may_be_renamed(site: Site) -> None:
    """Rule and class follow it; nobody starts grace."""
    rename(site, "demo/compute", "hpc/compute")
    report = site.run()
    assert report.outcome is Outcome.NOTHING_TO_DO
    assert report.notes[0].endswith("still named so by rule compute, class member")
    assert posix(site)["hpc/compute"][0] == "demo_compute"


def test_a_dry_run_keeps_no_rename(site: Site) -> None:
    before = site.everything()
    rename(site, "demo/gpu", "demo/accelerators")
    assert site.run(dry_run=True).notes
    assert site.everything() == before


def test_a_group_that_was_made_anew_stops_the_run(site: Site) -> None:
    """Its members inherit no file before a person said so; nobody loses anything meanwhile."""
    before = site.everything()
    site.source.ids["demo/gpu"] = "id-new"
    site.source.members["demo/gpu"] = {"mallory"}
    site.later(days=1)
    report = site.run()
    assert (report.outcome, report.reason) == (Outcome.FAILED, Reason.GROUP_REPLACED)
    assert "'id-g'" in report.detail
    assert "'id-new'" in report.detail
    assert "idmap groups rebind" in report.next_step
    assert site.everything() == before
    with site.registry.write(ADMIN) as writer:
        writer.rebind_group(group("demo/gpu"), "id-new")
    assert site.run().outcome is Outcome.APPLIED
    assert posix(site)["demo/gpu"][0] == "demo_gpu"


def test_an_emptied_group_is_noticed_even_under_its_new_path(site: Site) -> None:
    """A rename hides nothing from the guard."""
    site.source.members["demo/gpu"] = set()
    rename(site, "demo/gpu", "demo/accelerators")
    report = site.run()
    assert report.reason is Reason.GUARD_STOPPED
    assert "group demo/accelerators is empty now" in report.detail


def test_a_group_that_is_gone_stops_the_run(site: Site) -> None:
    del site.source.ids["demo/gpu"]
    del site.source.members["demo/gpu"]
    site.source.ids = {path: known for path, known in site.source.ids.items() if path != "demo/gpu"}
    site.later(days=1)
    before = site.everything()
    assert site.run().reason is Reason.SOURCE_GROUP_MISSING
    assert site.everything() == before


# --- groups of the site's own -----------------------------------------------------------------


def test_no_nightly_run_changes_who_is_in_a_local_group(site: Site) -> None:
    """Neither a quiet one, nor the loss of everything else."""
    add_local_group(site.registry, ADMIN, "lab", number_range="groups")
    with site.registry.write(ADMIN) as writer:
        add_member(writer, "lab", "alice")
    assert site.run().outcome is Outcome.NOTHING_TO_DO
    for members in site.source.members.values():
        members.discard("alice")
    site.later(days=1)
    assert site.run().outcome is Outcome.APPLIED
    assert [g.name for g in site.account("alice").secondary_groups] == ["lab"]
    with site.registry.read() as reader:
        assert reader.members_of(local_group("lab")) == ("alice",)
    with site.registry.write(ADMIN) as writer:
        remove_member(writer, "lab", "alice")
    assert site.account("alice").secondary_groups == ()


def test_only_local_groups_have_members_by_hand(site: Site) -> None:
    for name, account in (("demo_gpu", "alice"), ("nowhere", "alice"), ("lab", "nobody9")):
        if name == "lab":
            add_local_group(site.registry, ADMIN, "lab", number_range="groups")
        with site.registry.write(ADMIN) as writer, pytest.raises(NotFound):
            add_member(writer, name, account)


# --- names ------------------------------------------------------------------------------------


def test_people_are_named_as_their_class_says(site: Site) -> None:
    """Those who have a name keep it; newcomers with one mail address are told apart."""
    naming = ["initials", {"prefix": "hpc", "digits": 3}]
    site.save_rules(rules_with(username=naming, username_suffixes=2))
    people = ("jo1", "jo2", "jo3", "jo4")
    site.source.spelled = dict.fromkeys(people, Spelling(email="jo", given="Jo", family="Doe"))
    site.source.members["demo/compute"] |= set(people)
    site.later(days=1)
    assert site.run().outcome is Outcome.APPLIED
    names = [site.account(name).username for name in ("alice", "bob", *people)]
    assert names == ["alice", "bob", "jd", "jd2", "hpc001", "hpc002"]
    assert site.run().outcome is Outcome.NOTHING_TO_DO
    with site.registry.read() as reader:
        assert all(person.spelling == Spelling() for person in reader.people())


def test_no_claim_spells_a_name_that_a_counter_gives(site: Site) -> None:
    """Or somebody could have `hpc999999999` and nobody a name after them."""
    site.save_rules(rules_with(username=["preferred", {"prefix": "hpc"}]))
    site.source.members["demo/compute"] |= {"hpc9999999999", "hpc"}
    site.later(days=1)
    site.run()
    found = {site.account(name).username for name in ("hpc9999999999", "hpc")}
    assert found == {"hpc1", "hpc2"}


def test_a_class_may_give_private_groups(site: Site) -> None:
    site.save_rules(rules_with(primary_group={"private": True}))
    site.source.members["demo/compute"].add("carol")
    site.later(days=1)
    report = site.run()
    assert report.outcome is Outcome.APPLIED
    carol = site.account("carol")
    assert (carol.primary_group.name, carol.primary_group.gid_number) == ("carol", carol.uid_number)
    assert site.account("alice").primary_group.name == "demo_compute", "what is given stays"
    assert site.run().outcome is Outcome.NOTHING_TO_DO
