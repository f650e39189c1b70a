"""How a person's recorded facts spell usernames: strategies, tried in the order a class of the rules names.

Claims spell; they never identify, link or widen (law 1). What comes out is a list of *wishes* in the generated
grammar, none reserved, none shaped like a number-made name. Whoever allocates takes the first that was never issued;
when none is left the account is named after its number (`u200017`), which cannot collide because the number cannot.

Letters beyond ASCII are read only where that is harmless: a Latin letter with accents is its base letter, and
`_LETTERS` spells a few others as their languages do. Every other script, full-width forms, ligatures, mathematical
letters and the dotted and dotless i spell nothing, so that no name looks like one it is not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, assert_never

_GENERATED: Final = re.compile(r"[a-z_][a-z0-9_]{0,30}", re.ASCII)
MAX_NAME: Final = 31
MAX_FACT: Final = 256
"""Characters of one fact that are kept; a longer one spells no name anyhow."""

_LETTERS: Final = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ł": "l", "Ł": "L",
        "ħ": "h", "Ħ": "H", "ŧ": "t", "Ŧ": "T", "ŋ": "ng", "Ŋ": "NG",
    }
)  # fmt: skip
"""Letters that no accent can be taken from. Several letters are several; nothing is guessed by sound."""

_READ: Final = re.compile(r"[\x00-\x7F\u00C0-\u024F\u1E00-\u1EFF\u0300-\u036F]*")
"""ASCII, Latin with accents, and accents; whatever else is in a text, the text spells nothing."""

_NOT_READ: Final = frozenset("İı×÷")
_ACCENTS: Final = re.compile(r"(?<=[A-Za-z])[\u0300-\u036F]{1,2}(?![\u0300-\u036F])")
"""Vietnamese has two on a letter; more, or one on nothing, is no spelling."""

_ATEXT: Final = re.compile(r"[^\s\"@]{1,64}")
"""A local part without quotes (RFC 5321 §4.5.3.1.1: at most 64)."""

_VARIABLE: Final = re.compile(r"\{(preferred|email|given|family)(?::([1-9]\d?))?\}", re.ASCII)
_TEMPLATE_TEXT: Final = re.compile(r"[a-z0-9_]*", re.ASCII)
PREFIX: Final = re.compile(r"[a-z_](?:[a-z0-9_]{0,17}[a-z_])?", re.ASCII)
"""Ends in no digit, or `hpc1` + `23` and `hpc12` + `3` would be one name."""
MAX_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Spelling:
    """What a source or a token says that may spell a username. Never compared, never used to find anybody.

    Of a mail address only the local part is ever held: the rest spells nothing and tells more of the person.
    """

    preferred: str | None = None
    email: str | None = None
    given: str | None = None
    family: str | None = None

    def only(self, facts: frozenset[str]) -> Spelling:
        """Without the facts that are not named (`email`, `given`, `family`); the preferred name stays."""
        return Spelling(
            self.preferred,
            self.email if "email" in facts else None,
            self.given if "given" in facts else None,
            self.family if "family" in facts else None,
        )


NO_SPELLING: Final = Spelling()
SPELLING_FACTS: Final = ("email", "given", "family")
"""The facts beside the preferred name; on record only where a class needs them, and until the account has its name."""


def local_part(address: str | None) -> str | None:
    """The local part of a mail address without its `+tag`; None when the address is odd."""
    if address is None or len(address) > MAX_FACT:
        return None
    local, at, domain = address.rpartition("@")
    if not at or not domain or not _ATEXT.fullmatch(local):
        return None
    return local.partition("+")[0] or None


# --- strategies -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preferred:
    """`"preferred"`: the preferred username."""


@dataclass(frozen=True, slots=True)
class EmailLocalPart:
    """`"email"`: the local part of the mail address."""


@dataclass(frozen=True, slots=True)
class Initials:
    """`"initials"`: the first letters of every given and family name."""


@dataclass(frozen=True, slots=True)
class Template:
    """`{template = "{given:1}{family}"}`: text and facts, each cut to so many characters."""

    text: str


@dataclass(frozen=True, slots=True)
class PrefixCounter:
    """`{prefix = "hpc", digits = 4}`: `hpc0001`, `hpc0002`; never runs out, so it is the last of a list."""

    prefix: str
    digits: int = 1


Strategy = Preferred | EmailLocalPart | Initials | Template | PrefixCounter

DEFAULT_STRATEGIES: Final[tuple[Strategy, ...]] = (Preferred(),)
MAX_SUFFIX: Final = 99


@dataclass(frozen=True, slots=True)
class Naming:
    """How one class of accounts is named."""

    strategies: tuple[Strategy, ...] = DEFAULT_STRATEGIES
    last_suffix: int = 1
    """`alice2` up to `alice<last_suffix>` are wished for when `alice` is taken, before the next strategy; 1: none."""

    def facts(self) -> frozenset[str]:
        """What must be on record for it, beyond the preferred name: of `email`, `given`, `family`."""
        found: set[str] = set()
        for strategy in self.strategies:
            match strategy:
                case Preferred() | PrefixCounter():
                    pass
                case EmailLocalPart():
                    found.add("email")
                case Initials():
                    found |= {"given", "family"}
                case Template():
                    found |= {match[1] for match in _VARIABLE.finditer(strategy.text)}
                case _:
                    assert_never(strategy)
        return frozenset(found - {"preferred"})

    @property
    def counter(self) -> PrefixCounter | None:
        """The strategy that never runs out, if there is one."""
        last = self.strategies[-1] if self.strategies else None
        return last if isinstance(last, PrefixCounter) else None


DEFAULT_NAMING: Final = Naming()


def wishes(naming: Naming, spelling: Spelling) -> Iterator[str]:
    """The spelled names in order, each once, without their numbered forms and a counter's names.

    They fit the generated grammar; whether one is reserved is for `names` to say.
    """
    seen: set[str] = set()
    for strategy in naming.strategies:
        name = _spell(strategy, spelling)
        if name is not None and name not in seen:
            seen.add(name)
            yield name


def numbered(name: str, last: int) -> Iterator[str]:
    """`alice`, `alice2` … `alice<last>`; a long name is cut so that the number fits."""
    yield name
    for number in range(2, last + 1):
        yield f"{name[: MAX_NAME - len(str(number))]}{number}"


def check_template(text: str) -> bool:
    """Whether a template names known facts and otherwise has characters of names only."""
    rest = _VARIABLE.sub("", text)
    return bool(_VARIABLE.search(text)) and bool(_TEMPLATE_TEXT.fullmatch(rest)) and len(text) <= 80


def _spell(strategy: Strategy, spelling: Spelling) -> str | None:
    match strategy:
        case Preferred():
            return spell(spelling.preferred)
        case EmailLocalPart():
            return spell(spelling.email)
        case Initials():
            words = [*_words(spelling.given), *_words(spelling.family)]
            letters = "".join(word[0] for word in words)
            given_both = spelling.given is not None and spelling.family is not None
            return spell(letters) if given_both and len(letters) >= 2 else None
        case Template(text):
            return _fill(text, spelling)
        case PrefixCounter():
            return None
        case _:
            assert_never(strategy)


def _fill(text: str, spelling: Spelling) -> str | None:
    """None when a fact is missing, or spells nothing by itself: half a name is nobody's."""
    facts = {
        "preferred": spell(spelling.preferred),
        "email": spell(spelling.email),
        "given": "".join(_words(spelling.given)) or None,
        "family": "".join(_words(spelling.family)) or None,
    }
    if any(facts[match[1]] is None for match in _VARIABLE.finditer(text)):
        return None

    def fact(match: re.Match[str]) -> str:
        return (facts[match[1]] or "")[: int(match[2] or MAX_NAME)]

    return spell(_VARIABLE.sub(fact, text))


def _words(name: str | None) -> tuple[str, ...]:
    """The parts of a personal name, lower case, letters only; none when any part is not read."""
    latin = None if name is None else latin_letters(name)
    if latin is None:
        return ()
    words = [re.sub(r"['’.]", "", word) for word in re.split(r"[\s-]+", latin.strip().lower())]
    words = [word for word in words if word]
    return tuple(words) if all(re.fullmatch(r"[a-z]+", word) for word in words) else ()


# --- letters ----------------------------------------------------------------------------------

_SEPARATORS: Final = str.maketrans({"-": "_", ".": "_", "@": "_", "+": "_"})


def spell(text: str | None) -> str | None:
    """A name in the generated grammar, or None: lower case, accents off, `- . @ +` as `_`; nothing else is repaired.

    The first character must be a letter. Reserved names are not known here.
    """
    latin = None if text is None else latin_letters(text)
    if latin is None or not latin[:1].isalpha():
        return None
    name = latin.lower().translate(_SEPARATORS)
    return name if _GENERATED.fullmatch(name) else None


def latin_letters(text: str) -> str | None:
    """The text in ASCII, when every letter of it is Latin and its accents can be taken off; else None."""
    if text.isascii():
        return text
    if len(text) > 2 * MAX_FACT or not _READ.fullmatch(text) or _NOT_READ & set(text):
        return None
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", text).translate(_LETTERS))
    return plain if plain.isascii() else None
