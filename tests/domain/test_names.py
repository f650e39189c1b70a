"""Names: what a claim may spell, and what no claim ever may."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.errors import InvalidInput
from idmap.domain.names import (
    RESERVED_NAMES,
    check_generated_name,
    is_adoptable,
    is_reserved,
    spell_group_names,
    spell_username,
    username_from_number,
)

GENERATED = re.compile(r"[a-z_][a-z0-9_]{0,30}")


@pytest.mark.parametrize(
    "hostile",
    [
        "root", "ROOT", "Root", "slurm", "munge", "ubuntu", "rocky", "nobody", "sudo", "wheel", "docker",
        "../x", "/etc/passwd", "a b", "a:b", "a\nb", "a\0b", "-rf", "", "1000", "0", "x" * 300, "a" * 32,
        "аlice", "ａlice", "alice\u200b", "ALİCE", "u200000", "g300000", "www-data", "systemd-network",
        "$(id)", "`id`", "alice;id", "*", ".", "..", "alice,", "alice=", "%u", "~alice",
    ],
)  # fmt: skip
def test_a_hostile_claim_spells_no_name(hostile: str) -> None:
    """The account then gets a generated name; the hostile one is never issued."""
    assert spell_username(hostile) is None


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        ("j.doe", "j_doe"),
        ("jo@example.org", "jo_example_org"),
    ],
)
def test_a_harmless_claim_spells_its_name(claim: str, name: str) -> None:
    """Separators become underscores; capitals are lowered; nothing else is repaired."""
    assert spell_username(claim) == name


def test_a_missing_claim_spells_nothing() -> None:
    """No claim, no name; never a default."""
    assert spell_username(None) is None


@given(st.text(max_size=60))
def test_whatever_a_claim_says_the_spelled_name_is_harmless(claim: str) -> None:
    """Every spelled name fits the generated grammar, is not reserved and cannot be a number-made name."""
    name = spell_username(claim)
    if name is not None:
        assert GENERATED.fullmatch(name)
        assert is_adoptable(name)
        assert not is_reserved(name)
        assert not re.fullmatch(r"[ug]\d+", name)


@given(st.integers(min_value=1000, max_value=2**31 - 1))
def test_a_number_made_name_is_always_issuable(number: int) -> None:
    """`u<number>` fits the grammar for every legal number and is never reserved."""
    assert check_generated_name(username_from_number(number))


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_reserved_names_are_refused_however_spelled(name: str) -> None:
    """With dashes or dots instead of underscores, and in capitals, a reserved name stays reserved."""
    assert is_reserved(name.replace("_", "-").upper())
    with pytest.raises(InvalidInput):
        check_generated_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "a:b",
        "a,b",
        "a/b",
        "a b",
        "-a",
        "123",
        ".",
        "..",
        "é",
        "a\tb",
        "a" * 33,
        "",
        "#x",
        "$x",
        "a=b",
    ],
)
def test_what_breaks_passwd_files_is_not_adoptable(name: str) -> None:
    """The wider grammar still refuses what passwd, shells and Slurm cannot carry."""
    assert not is_adoptable(name)


def test_an_existing_sites_names_are_adoptable() -> None:
    """Dots, dashes, plus signs and capitals exist in the field."""
    assert all(is_adoptable(name) for name in ("j.doe", "j-doe", "j+doe", "Doe", "7up"))


def test_a_group_path_spells_a_posix_name() -> None:
    """Levels join by underscore; a path that spells a root-equivalent group spells nothing."""
    assert spell_group_names("lhc/compute") == ("lhc_compute",)
    assert spell_group_names("wheel") == ()
    assert spell_group_names("a/" + "b" * 600) == ()
