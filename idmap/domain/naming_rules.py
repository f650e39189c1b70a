"""The members of an account class that say how its people are named: `username` and `username_suffixes`.

    username = "initials"
    username = ["preferred", "email", { template = "{given:1}{family}" }, { prefix = "hpc", digits = 4 }]
    username_suffixes = 9

`spelling` says what each strategy spells. Without `username`, the preferred name is the only one tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.domain.spelling import (
    DEFAULT_STRATEGIES,
    MAX_DIGITS,
    MAX_SUFFIX,
    PREFIX,
    EmailLocalPart,
    Initials,
    Naming,
    Preferred,
    PrefixCounter,
    Strategy,
    Template,
    check_template,
)

_WORDS: Final[Mapping[str, Strategy]] = MappingProxyType(
    {"preferred": Preferred(), "email": EmailLocalPart(), "initials": Initials()}
)
_MAX_STRATEGIES: Final = 8


def parse_naming(body: Mapping[str, Any], where: str) -> Naming:
    """How a class names its people. Raises InvalidInput(RULE_INVALID)."""
    return Naming(_strategies(body, where), _last_suffix(body, where))


def _strategies(body: Mapping[str, Any], where: str) -> tuple[Strategy, ...]:
    if "username" not in body:
        return DEFAULT_STRATEGIES
    value = body["username"]
    written = value if isinstance(value, list) else [value]
    if not 1 <= len(written) <= _MAX_STRATEGIES:
        raise _invalid(where, f"username: 1 to {_MAX_STRATEGIES} strategies")
    found = tuple(_strategy(item, where) for item in written)
    if any(isinstance(strategy, PrefixCounter) for strategy in found[:-1]):
        raise _invalid(where, "username: a prefix never runs out; it is the last of the list")
    return found


def _strategy(value: object, where: str) -> Strategy:
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, Mapping) and value.keys() == {"template"}:
        text = value["template"]
        if isinstance(text, str) and check_template(text):
            return Template(text)
        raise _invalid(
            where,
            "username.template: a-z, 0-9, _ and {preferred}, {email}, {given}, {family}; {given:1} for one letter",
        )
    if isinstance(value, Mapping) and "prefix" in value and value.keys() <= {"prefix", "digits"}:
        prefix, digits = value["prefix"], value.get("digits", 1)
        if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix) or prefix in {"u", "g"}:
            raise _invalid(
                where,
                "username.prefix: a-z, 0-9 and _, no digit at its end; u and g are for names made from numbers",
            )
        if type(digits) is not int or not 1 <= digits <= MAX_DIGITS:
            raise _invalid(where, f"username.digits: 1 to {MAX_DIGITS}")
        return PrefixCounter(prefix, digits)
    raise _invalid(
        where,
        "username: preferred, email, initials, { template = … } or { prefix = …, digits = … }",
    )


def _last_suffix(body: Mapping[str, Any], where: str) -> int:
    value = body.get("username_suffixes", 1)
    if type(value) is not int or not 1 <= value <= MAX_SUFFIX:
        raise _invalid(where, f"username_suffixes: 1 (none) to {MAX_SUFFIX}")
    return value


def _invalid(where: str, detail: str) -> InvalidInput:
    return InvalidInput(Reason.RULE_INVALID, f"{where}: {detail}")
