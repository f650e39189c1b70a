"""Entitlement URNs: the defects of the published parser as named cases, shapes seen in the field, and round trips."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.entitlements import (
    Entitlement,
    GroupEntitlement,
    Pinning,
    ResourceEntitlement,
    entitlement_urn,
    parse_entitlement,
    parse_namespace,
)
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import decode_name, encode_name
from idmap.domain.reasons import Reason

EGI = "urn:mace:egi.eu"

SEEN: dict[str, tuple[str, Entitlement]] = {
    "EGI Check-in, a role in a group": (
        "urn:mace:egi.eu:group:vo.example.eu:role=member#aai.egi.eu",
        GroupEntitlement(EGI, ("vo.example.eu",), "member", "aai.egi.eu"),
    ),
    "EGI Check-in, a role in a sub-group": (
        "urn:mace:egi.eu:group:vo.example.eu:ops:role=vm_operator#aai.egi.eu",
        GroupEntitlement(EGI, ("vo.example.eu", "ops"), "vm_operator", "aai.egi.eu"),
    ),
    "EGI Check-in, a resource": (
        "urn:mace:egi.eu:res:rcauth#aai.egi.eu",
        ResourceEntitlement(EGI, ("rcauth",), authority="aai.egi.eu"),
    ),
    "EGI Check-in, a resource without authority": (
        "urn:mace:egi.eu:res:rcauth", ResourceEntitlement(EGI, ("rcauth",)),
    ),
    "Helmholtz, a blank in a sub-group": (
        "urn:geant:helmholtz.de:group:HDF:Data Managers#login.helmholtz.de",
        GroupEntitlement("urn:geant:helmholtz.de", ("HDF", "Data Managers"), None, "login.helmholtz.de"),
    ),
    "INDIGO IAM, profile aarc: no authority": (
        "urn:geant:example.org:iam:group:vo:sub",
        GroupEntitlement("urn:geant:example.org:iam", ("vo", "sub")),
    ),
    "Perun, blanks in the authority": (
        "urn:geant:cesnet.cz:group:einfra:projects#Perun of the e-infrastructure",
        GroupEntitlement(
            "urn:geant:cesnet.cz", ("einfra", "projects"), None, "Perun of the e-infrastructure"
        ),
    ),
    "AARC-G027, actions": (
        "urn:geant:example.org:res:hpc:queue:act:submit,cancel#aai.example.org",
        ResourceEntitlement(
            "urn:geant:example.org", ("hpc", "queue"), frozenset({"submit", "cancel"}), "aai.example.org"
        ),
    ),
    "scheme and identifier in capitals": (
        "URN:MACE:egi.eu:group:vo", GroupEntitlement(EGI, ("vo",)),
    ),
    "a group that is called group": (
        "urn:mace:egi.eu:group:group:res", GroupEntitlement(EGI, ("group", "res")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_a_shape_seen_in_the_field_is_read(name: str) -> None:
    """Values shortened from 2026 samples (research: iam-provisioning §4)."""
    urn, expected = SEEN[name]
    assert parse_entitlement(urn) == expected


REFUSED = {
    "not a string": 7,
    "empty": "",
    "no URN": "vo:sub",
    "no namespace": "urn:mace:group:vo",
    "another URN": "urn:mace:dir:entitlement:common-lib-terms",
    "no group named": "urn:mace:egi.eu:group",
    "an empty group": "urn:mace:egi.eu:group:",
    "an empty sub-group": "urn:mace:egi.eu:group:vo::sub",
    "only a role": "urn:mace:egi.eu:group:role=admin",
    "an empty role": "urn:mace:egi.eu:group:vo:role=",
    "a role before a sub-group": "urn:mace:egi.eu:group:vo:role=admin:sub",
    "two roles": "urn:mace:egi.eu:group:vo:role=a:role=b",
    "an empty authority": "urn:mace:egi.eu:group:vo#",
    "two authorities": "urn:mace:egi.eu:group:vo#a#b",
    "GROUP in capitals": "urn:mace:egi.eu:GROUP:vo",
    "a query": "urn:mace:egi.eu:group:vo?x",
    "a blank first": " urn:mace:egi.eu:group:vo",
    "a blank last": "urn:mace:egi.eu:group:vo ",
    "two blanks in a name": "urn:mace:egi.eu:group:a  b",
    "a blank in the namespace": "urn:mace:egi eu:group:vo",
    "a name of one blank": "urn:mace:egi.eu:group:%20",
    "an outer blank, encoded": "urn:mace:egi.eu:group:vo%20",
    "a newline": "urn:mace:egi.eu:group:vo\n",
    "a tab inside": "urn:mace:egi.eu:group:v\to",
    "an encoded zero byte": "urn:mace:egi.eu:group:vo%00",
    "an encoded newline": "urn:mace:egi.eu:group:vo%0Aroot",
    "an encoded right-to-left mark": "urn:mace:egi.eu:group:vo%E2%80%AE",
    "encoded bytes that are no UTF-8": "urn:mace:egi.eu:group:vo%FF",
    "a lone percent sign": "urn:mace:egi.eu:group:vo%2",
    "letters beyond ASCII, not encoded": "urn:mace:egi.eu:group:vö",
    "an identifier of one letter": "urn:m:egi.eu:group:vo",
    "actions without a list": "urn:mace:egi.eu:res:a:act",
    "actions before a child": "urn:mace:egi.eu:res:a:act:x:b",
    "an empty action": "urn:mace:egi.eu:res:a:act:x,",
    "overlong": "urn:mace:egi.eu:group:" + "a" * 1024,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_exactly_an_entitlement_is_refused(name: str) -> None:
    """The caller leaves it out; nothing of it is guessed."""
    with pytest.raises(InvalidInput) as caught:
        parse_entitlement(REFUSED[name])
    assert caught.value.reason is Reason.CLAIM_INVALID


def test_an_encoded_colon_or_hash_is_a_character_of_the_name() -> None:
    """The published parser decodes first: `vo%3Asub` then *is* the sub-group, and `%23` moves the authority."""
    assert parse_entitlement("urn:mace:egi.eu:group:vo%3Asub") == GroupEntitlement(EGI, ("vo:sub",))
    assert parse_entitlement("urn:mace:egi.eu:group:vo%23aai.egi.eu#x") == GroupEntitlement(
        EGI, ("vo#aai.egi.eu",), None, "x"
    )
    assert parse_entitlement("urn:mace:egi.eu:group:vo:%72ole=admin") == GroupEntitlement(
        EGI, ("vo", "role=admin")
    )


def test_the_authority_counts() -> None:
    """The published parser's comparison skips it: anybody could vouch for anybody's group."""
    pinning = Pinning(EGI, frozenset({"aai.egi.eu"}))
    assert pinning.covers(parse_entitlement("urn:mace:egi.eu:group:vo#aai.egi.eu"))
    for urn in (
        "urn:mace:egi.eu:group:vo#evil.example",
        "urn:mace:egi.eu:group:vo#AAI.egi.eu",
        "urn:mace:egi.eu:group:vo#aai.egi.eu.evil.example",
        "urn:mace:egi.eu:group:vo",
        "urn:mace:EGI.eu:group:vo#aai.egi.eu",
        "urn:mace:egi.eu:more:group:vo#aai.egi.eu",
        "urn:geant:egi.eu:group:vo#aai.egi.eu",
    ):
        assert not pinning.covers(parse_entitlement(urn)), urn


def test_an_absent_authority_is_allowed_by_the_empty_string_alone() -> None:
    """INDIGO IAM sends none; a list that names authorities does not mean that one may be missing."""
    bare = parse_entitlement("urn:mace:egi.eu:group:vo")
    assert Pinning(EGI, frozenset({""})).covers(bare)
    assert not Pinning(EGI, frozenset()).covers(bare)


def test_a_namespace_has_one_spelling() -> None:
    """What compares without case is lower case, hexadecimal digits upper case (RFC 8141 §3.1)."""
    assert parse_namespace("URN:Mace:Egi.eu:a%2fb") == "urn:mace:Egi.eu:a%2Fb"
    for text in ("urn:mace", "urn:mace:", "urn:mace:a:group", "mace:egi.eu", "urn:mace:a::b"):
        with pytest.raises(InvalidInput):
            parse_namespace(text)


def _is_name(text: str) -> bool:
    return text == text.strip() and not any(unicodedata.category(c).startswith("C") for c in text)


_NAMES = st.text(min_size=1, max_size=12).filter(_is_name)
_NAMESPACES = st.lists(
    st.from_regex(r"[a-z0-9.-]{1,8}", fullmatch=True), min_size=1, max_size=3
).map(lambda parts: ":".join(["urn:geant", *parts]))
_AUTHORITIES = st.just("") | st.from_regex(r"[a-z0-9.]{1,8}( [a-z]{1,4})?", fullmatch=True)
_MANY = st.lists(_NAMES, min_size=1, max_size=4).map(tuple)
_ENTITLEMENTS = st.builds(
    GroupEntitlement, _NAMESPACES, _MANY, st.none() | _NAMES, _AUTHORITIES
) | st.builds(
    ResourceEntitlement, _NAMESPACES, _MANY, st.frozensets(_NAMES, max_size=3), _AUTHORITIES
)


@given(_ENTITLEMENTS)
def test_every_entitlement_survives_its_urn(entitlement: Entitlement) -> None:
    """Whatever the names hold: colons, hashes, keywords, blanks, other scripts."""
    assert parse_entitlement(entitlement_urn(entitlement)) == entitlement


@given(_NAMES)
def test_a_name_has_one_encoding(name: str) -> None:
    """ASCII without structure, and the way back."""
    encoded = encode_name(name)
    assert encoded.isascii()
    assert not set(encoded) & set(":#/=? ")
    assert decode_name(encoded) == name


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    """A value or InvalidInput, and what is read reads the same again."""
    for urn in (text, f"urn:mace:egi.eu:group:{text}", f"urn:mace:egi.eu:res:{text}"):
        try:
            found = parse_entitlement(urn)
        except InvalidInput:
            continue
        assert parse_entitlement(entitlement_urn(found)) == found
