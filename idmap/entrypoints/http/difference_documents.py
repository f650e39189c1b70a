"""The JSON that is given about differences between tokens and sources; the command line prints the same."""

from __future__ import annotations

from typing_extensions import TypedDict

from idmap.domain.differences import Difference, DifferenceKind
from idmap.entrypoints.http.answers import Seconds, exact
from idmap.entrypoints.http.documents import IdentityDocument, Next, identity_document


@exact
class DifferenceDocument(TypedDict):
    """One membership about which a token and a source disagree; the group is the identity's issuer's."""

    identity: IdentityDocument
    account: str | None
    group: str
    kind: DifferenceKind
    first_seen: Seconds
    last_seen: Seconds


def difference_document(difference: Difference) -> DifferenceDocument:
    """Who, which group, who does not say it, since when."""
    return {
        "identity": identity_document(difference.identity),
        "account": difference.username,
        "group": difference.group.path,
        "kind": difference.kind,
        "first_seen": difference.first_seen,
        "last_seen": difference.last_seen,
    }


@exact
class DifferencesPage(TypedDict):
    """Differences between tokens and sources."""

    differences: list[DifferenceDocument]
    next: Next
