"""How facts spell usernames: in the order a class names, in the generated grammar, and never by look-alikes."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.names import (
    counted_usernames,
    is_issuable,
    is_reserved,
    numbered_usernames,
    spell_group_names,
    spell_usernames,
)
from idmap.domain.spelling import (
    MAX_SUFFIX,
    EmailLocalPart,
    Initials,
    Naming,
    Preferred,
    PrefixCounter,
    Spelling,
    Template,
    latin_letters,
    local_part,
    spell,
)

GENERATED = re.compile(r"[a-z_][a-z0-9_]{0,30}")
EVERYTHING = Naming(
    (Preferred(), EmailLocalPart(), Initials(), Template("x_{given:3}{family:4}")), MAX_SUFFIX
)
JO = Spelling("Jo.Doe", "jodoe", "Jean-Pierre", "de la Fontaine")
TEXT = st.one_of(st.none(), st.text(max_size=40))


@pytest.mark.parametrize(
    ("strategies", "names"),
    [
        ((Preferred(),), ("jo_doe",)),
        ((EmailLocalPart(), Preferred()), ("jodoe", "jo_doe")),
        ((Initials(),), ("jpdlf",)),
        ((Template("{given:1}{family}"),), ("jdelafontaine",)),
        ((Template("{family:5}_{email}"),), ("delaf_jodoe",)),
        ((Preferred(), PrefixCounter("hpc")), ("jo_doe",)),
        ((Template("{given}"), Template("{given:11}")), ("jeanpierre",)),
    ],
)
def test_each_strategy_spells_what_it_says(strategies, names) -> None:  # type: ignore[no-untyped-def]
    """In their order, and each name once."""
    assert spell_usernames(JO, Naming(strategies)) == names


def test_a_missing_fact_spells_nothing_and_the_next_strategy_is_asked() -> None:
    """Half a name is nobody's."""
    naming = Naming((Template("{given:1}{family}"), Initials(), Preferred()))
    assert spell_usernames(Spelling("jo", None, "Jo", None), naming) == ("jo",)
    assert spell_usernames(Spelling("jo", None, "Jo", "Δοε"), naming) == ("jo",)
    assert spell_usernames(Spelling(), naming) == ()


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("jo@example.org", "jo"),
        ("jo.doe+hpc@example.org", "jo.doe"),
        ("@example.org", None),
        ("jo", None),
        ("jo@", None),
        ('"jo doe"@example.org', None),
        ("jo @example.org", None),
        ("a@b@c", None),
        ("+tag@example.org", None),
        ("x" * 65 + "@example.org", None),
        ("x@" + "y" * 300, None),
        (None, None),
    ],
)
def test_of_a_mail_address_only_the_local_part_is_ever_held(
    address: str | None, part: str | None
) -> None:
    assert local_part(address) == part


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("José", "jose"),
        ("Jose\u0301", "jose"),
        ("Straße", "strasse"),
        ("Ærø", "aero"),
        ("Łukasz", "lukasz"),
        ("Nguyễn", "nguyen"),
        ("Þór", "thor"),
        ("ŠŤASTNÝ", "stastny"),
    ],
)
def test_latin_letters_lose_their_accents(text: str, name: str) -> None:
    assert spell(text) == name


@pytest.mark.parametrize(
    "look_alike",
    [
        "\u0430lice",  # Cyrillic a
        "\u03b1lice",  # Greek alpha
        "\uff41lice",  # full-width a
        "\U0001d41alice",  # mathematical bold a
        "\u212aim",  # Kelvin sign
        "\ufb01nn",  # ligature fi
        "al\u0131ce",  # dotless i
        "AL\u0130CE",  # dotted capital I
        "a\u200blice",  # zero width space
        "al\u0301\u0301\u0301ice",  # more accents than any language has
        "\u0301alice",  # an accent on nothing
        "4\u0301lice",  # an accent on a digit
        "alice\u202e",  # right-to-left override
        "a\u00d7b",  # multiplication sign
        "\u01c3ali",  # click
    ],
)
def test_what_only_looks_latin_spells_nothing(look_alike: str) -> None:
    """No name looks like one it is not; compatibility forms are other letters."""
    assert spell(look_alike) is None
    spelling = Spelling(look_alike, look_alike, look_alike, look_alike)
    assert spell_usernames(spelling, EVERYTHING) == ()


@given(TEXT, TEXT, TEXT, TEXT)
def test_whatever_the_facts_say_every_wish_may_be_issued(
    preferred: str | None, email: str | None, given_name: str | None, family: str | None
) -> None:
    """The grammar, no reserved name, no number-made shape; each wish once, and their number is bounded."""
    names = spell_usernames(Spelling(preferred, email, given_name, family), EVERYTHING)
    assert len(names) == len(set(names)) <= 4
    every = list(numbered_usernames(names, EVERYTHING.last_suffix))
    assert len(every) <= 4 * MAX_SUFFIX
    for name in every:
        assert GENERATED.fullmatch(name)
        assert not is_reserved(name)
        assert not re.fullmatch(r"[ug]\d+", name)


@given(st.text(max_size=40))
def test_equal_texts_spell_equal_names_however_they_are_encoded(text: str) -> None:
    """Composed or with combining accents: the same text is the same name."""
    composed = unicodedata.normalize("NFC", text)
    decomposed = unicodedata.normalize("NFD", text)
    found = {latin_letters(composed), latin_letters(decomposed)}
    assert len(found) == 1 or None in found


def test_numbered_forms_are_cut_to_fit_and_never_become_reserved_or_number_made() -> None:
    long = "a" * 31
    assert list(numbered_usernames([long], 3)) == [long, "a" * 30 + "2", "a" * 30 + "3"]
    assert list(numbered_usernames(["u"], 3)) == ["u"], "u2 is shaped like a number-made name"


def test_a_counters_names_are_issuable_and_in_order() -> None:
    names = counted_usernames(PrefixCounter("hpc", 4), 9998)
    assert [next(names) for _ in range(3)] == ["hpc9998", "hpc9999", "hpc10000"]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("vo", ("vo",)),
        ("vo/sub", ("vo_sub",)),
        ("VO/Sub.Group-1", ("vo_sub_group_1",)),
        ("vo:role=manager", ("vo_role_manager",)),
        ("vo/sub:role=manager", ("vo_sub_role_manager",)),
        (":role=operator", ("role_operator",)),
        ("M%C3%BCnchen/My%20Group", ("munchen_my_group",)),
        (
            "vo/" + "/".join(f"level{n}" for n in range(60)) + "/alpha",
            ("vo_level58_level59_alpha",),
        ),
        ("vo/" + "x" * 40 + "/alpha", ("vo_alpha",)),
        ("vo/alpha/" + "x" * 40, ()),
        ("x" * 512, ()),
        ("wheel", ()),
        ("systemd/network", ()),
        ("g300000", ()),
        ("%CE%B1/x", ()),
        ("a%2Fb", ()),
        ("1st/vo", ()),
    ],
)
def test_a_group_path_spells_a_name_that_says_whose_it_is(
    path: str, names: tuple[str, ...]
) -> None:
    """Whole if it fits, else its first name and as many of the last as fit; never the last alone."""
    assert spell_group_names(path) == names


@given(
    st.lists(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", fullmatch=True), min_size=1, max_size=12
    )
)
def test_whatever_the_path_a_groups_name_is_issuable(parts: list[str]) -> None:
    for name in spell_group_names("/".join(parts)):
        assert is_issuable(name)
        assert name.startswith(re.sub(r"[.-]", "_", parts[0].lower()))
