"""The JSON that the routes take, with the words OpenAPI shows.

Request documents refuse members they do not know. No text of theirs may hold a zero byte: no database keeps one.
"""

from __future__ import annotations

import re
from datetime import date
from math import isfinite
from typing import Annotated, Any, Final, Self

from fastapi import Path
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from idmap.application.compare_rules import PeopleAsked, parse_identity
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Identity, Issuer, parse_subject
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from idmap.domain.what_if import Effect

MAX_DEPTH: Final = 32
"""Rules are some ten deep."""


_SECONDS: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_LAST_SECOND: Final = 9_999_999_999


def _day(value: object) -> object:
    """As documented, no more: pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return value
    raise ValueError("a day as in 2026-12-04")


def _moment(value: object) -> object:
    """As documented, no more: pydantic would take a fraction, or large numbers for milliseconds."""
    if isinstance(value, str) and (_DATE.match(value) or _SECONDS.fullmatch(value)):
        return value
    if type(value) is int and 0 <= value <= _LAST_SECOND:
        return value
    raise ValueError("a time as in 2026-12-04T12:00:00Z, or whole seconds since the epoch")


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "integer", "minimum": 0, "maximum": _LAST_SECOND},
            ]
        }
    ),
]
"""RFC 3339 with its offset, or whole seconds since the epoch, as answers have them."""
AskedDay = Annotated[date, BeforeValidator(_day)]


def _keepable(document: dict[str, Any]) -> dict[str, Any]:
    """What JSON may spell and no database keeps, or JSON itself cannot say again (RFC 8259 §8.2, §6)."""
    due: list[tuple[object, int]] = [(document, 0)]
    while due:
        value, depth = due.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict):
            due.extend((part, depth + 1) for pair in value.items() for part in pair)
        elif isinstance(value, list):
            due.extend((part, depth + 1) for part in value)
        elif isinstance(value, str) and (
            "\0" in value or any("\ud800" <= one <= "\udfff" for one in value)
        ):
            raise ValueError("a zero byte or half of a surrogate pair")
        elif isinstance(value, float) and not isfinite(value):
            raise ValueError("a number that is none")
    return document


FreeDocument = Annotated[dict[str, Any], AfterValidator(_keepable)]
"""A document of which the domain says what is in it."""

Whole = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
"""As JSON has them: `false` is no number, `"yes"` no flag."""

NO_ZERO_BYTE: Final = r"^[^\x00]*$"
Name = Annotated[str, Field(max_length=64, pattern=NO_ZERO_BYTE)]
"""Of an account or a group that is there: whoever adopted names may have odd ones."""
IssuerText = Annotated[
    str,
    Field(min_length=1, max_length=2048, pattern=NO_ZERO_BYTE, examples=["https://iam.example/"]),
]
"""An issuer's string, exactly as trusted."""

NamedInPath = Annotated[
    str,
    Path(max_length=255, pattern=NO_ZERO_BYTE, description="Its name; a number where it has one."),
]

Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
"""A name that people give to machines and ranges."""

ReasonText = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=500,
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
        description="Why, in one line; goes on the record. Or send Idmap-Reason.",
    ),
]


class RequestDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IdentityRequest(RequestDocument):
    """An identity: both strings exact, byte for byte."""

    issuer: IssuerText
    subject: str = Field(min_length=1, max_length=255)

    def identity(self) -> Identity:
        """As the domain knows it. Raises InvalidInput(REQUEST_INVALID)."""
        return identity_from(self.issuer, self.subject)


class ResolveRequest(RequestDocument):
    """Whose token is it at this door?"""

    token: SecretStr = Field(description="The access token, whole.")
    door: str = Field(max_length=64, examples=["component:portal"])
    issuer: IssuerText | None = Field(default=None, description="Whose an opaque token is.")


class KeyRequest(RequestDocument):
    """A key id that trust.db does not have."""

    issuer: IssuerText
    kid: str = Field(min_length=1, max_length=255)


class IntrospectRequest(RequestDocument):
    """Whose opaque token is it at this node's door?"""

    token: SecretStr = Field(description="The access token, whole.")
    door: str = Field(max_length=64, examples=["ssh:login"])


class ExplainRequest(RequestDocument):
    """Exactly one of token (with its door), identity, account."""

    token: SecretStr | None = None
    issuer: IssuerText | None = Field(default=None, description="Whose an opaque token is.")
    identity: IdentityRequest | None = None
    account: Name | None = None
    door: str | None = Field(default=None, max_length=64)


class ReasonRequest(RequestDocument):
    """A change that needs nothing but its reason."""

    reason: ReasonText = None


class RangeRequest(RequestDocument):
    """A range to add."""

    name: Label
    purpose: RangePurpose
    first: Whole
    last: Whole
    acknowledge: Flag = Field(
        default=False,
        description="The numbers may be used by other software too, and that is meant.",
    )
    acknowledge_foreign: Flag = Field(
        default=False,
        description="Something else on the site has numbers of it; those are never issued.",
    )
    reason: ReasonText = None

    def range(self) -> NumberRange:
        """As the domain knows it."""
        return NumberRange(self.name, self.purpose, self.first, self.last)


class NodeRequest(RequestDocument):
    """A node to enrol."""

    name: Label
    node_class: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    reason: ReasonText = None


class ComponentRequest(RequestDocument):
    """A component to add, with the doors whose tokens it may present."""

    name: Label
    doors: tuple[str, ...] = Field(min_length=1, max_length=32)
    reason: ReasonText = None


class RulesTestRequest(RequestDocument):
    """Rules to try: on one identity, on a token shown at a door, or on everybody. Else those in force."""

    document: FreeDocument | None = None
    identity: IdentityRequest | None = None
    token: SecretStr | None = Field(default=None, description="An access token, whole.")
    door: Name | None = Field(default=None, description="With `token`: where it is shown.")
    issuer: IssuerText | None = Field(default=None, description="Whose an opaque token is.")
    people: Flag = Field(default=False, description="Of everybody: also who they are.")
    effect: Effect | None = Field(
        default=None, description="With `people`: those whom this reaches."
    )
    after: str | None = Field(
        default=None,
        max_length=2400,
        pattern=NO_ZERO_BYTE,
        description="With `people`: the `next` of a page.",
    )
    limit: Whole = Field(default=100, ge=1, le=1000, description="With `people`: at most so many.")

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if self.identity is not None and self.token is not None:
            raise ValueError("either identity or token")
        if (self.token is None) != (self.door is None):
            raise ValueError("token and door come together")
        return self

    def people_asked(self) -> PeopleAsked | None:
        """The page that is wanted, if any. Raises InvalidInput(REQUEST_INVALID)."""
        if not self.people:
            return None
        after = None if self.after is None else parse_identity(self.after)
        return PeopleAsked(self.effect, after, self.limit)


class VersionRequest(RequestDocument):
    """A version to go back to, or to pin."""

    version: Whole = Field(ge=1, lt=2**31)
    reason: ReasonText = None


class NodeReport(RequestDocument):
    """What a node tells about itself."""

    revision: Whole = Field(ge=0, lt=2**63)
    ban_counter: Whole = Field(ge=0, lt=2**63)
    masked: tuple[Annotated[str, Field(max_length=255)], ...] = Field(default=(), max_length=10_000)
    local_names: tuple[Annotated[str, Field(max_length=255)], ...] = Field(
        default=(), max_length=10_000
    )


def identity_from(issuer: str, subject: str) -> Identity:
    """An identity from a request. Raises InvalidInput(REQUEST_INVALID)."""
    try:
        return Identity(Issuer(issuer), parse_subject(subject))
    except InvalidInput as error:
        raise InvalidInput(Reason.REQUEST_INVALID, error.detail) from error
