"""The admin door on differences: memberships that a token and a source do not agree about."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from idmap.application.account_named import account_named
from idmap.application.questions import DifferenceQuestion
from idmap.domain.differences import DifferenceKind
from idmap.domain.roles import Permission
from idmap.entrypoints.http import paging
from idmap.entrypoints.http.callers import AdminRoute
from idmap.entrypoints.http.difference_documents import DifferencesPage, difference_document
from idmap.entrypoints.http.paging import After, Limit, Text, words
from idmap.entrypoints.http.parts import Parts
from idmap.entrypoints.http.permissions import needs

router = APIRouter(route_class=AdminRoute, tags=["people"])


@router.get("/v1/differences", summary="Where tokens and sources disagree")
@needs(Permission.READ)
def list_differences(
    parts: Parts,
    after: After = None,
    limit: Limit = 100,
    issuer: paging.Issuer = None,
    group: Annotated[Text, words("A federated group's path.", 512)] = None,
    kind: Annotated[
        DifferenceKind | None, Query(description="Who does not say that they are a member.")
    ] = None,
    account: Annotated[Text, words("Username, or uid number.")] = None,
) -> DifferencesPage:
    """One page, in order of first sight of the identities. A line goes when a later token agrees with the source, or
    when no token showed it for 90 days.
    """
    with parts.registry.read() as reader:
        asked = DifferenceQuestion(
            issuer=issuer,
            group=group,
            kind=kind,
            account_id=None if account is None else account_named(reader, account).account_id,
        )
        page = reader.page_of_differences(asked, after=after, limit=limit)
    return {"differences": [difference_document(one) for one in page.items], "next": page.next}
