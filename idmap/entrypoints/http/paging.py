"""The words of every list: `after`, `limit`, `next`.

`next` of one page is `after` of the next, to be handed back as it came; null says that this was the last. Filters stay
the same from page to page. A page never holds more than `limit`, whatever the list's length.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.entrypoints.http.request_documents import NO_ZERO_BYTE, Moment, identity_from

After = Annotated[
    str | None,
    Query(max_length=300, pattern=NO_ZERO_BYTE, description="The `next` of the page before."),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many on a page.")]


def words(description: str, length: int = 64, *, alias: str | None = None) -> Any:
    """A filter by text."""
    return Query(alias=alias, max_length=length, pattern=NO_ZERO_BYTE, description=description)


Text = str | None
Issuer = Annotated[Text, words("An issuer's exact string.", 2048)]
Subject = Annotated[Text, words("With `issuer`: an identity.", 255)]
Author = Annotated[Text, words("Exactly as the record writes it.", 2400)]
Time = Moment | None


def asked_identity(issuer: str | None, subject: str | None) -> Identity | None:
    """Both or neither. Raises InvalidInput(REQUEST_INVALID)."""
    if (issuer is None) != (subject is None):
        raise InvalidInput(Reason.REQUEST_INVALID, "issuer and subject come together")
    if issuer is None or subject is None:
        return None
    return identity_from(issuer, subject)
