"""`idmap provision differences`: memberships that a token and a source do not agree about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import typer

from idmap.application.account_named import account_named
from idmap.application.ports import Registry
from idmap.application.questions import DifferenceQuestion
from idmap.domain.differences import DifferenceKind
from idmap.entrypoints.cli.output import Pages, moment
from idmap.entrypoints.http.difference_documents import difference_document

COLUMNS: Final = (
    "ACCOUNT", "SUBJECT", "ISSUER", "GROUP", "KIND", "FIRST SEEN", "LAST SEEN",
)  # fmt: skip

GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="PATH", help="Only this federated group.")
]
KindOption = Annotated[
    DifferenceKind | None,
    typer.Option("--kind", help="Only what the token, or the source, does not say."),
]
AccountOption = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Username, or uid number.")
]


def pages_of_differences(
    registry: Registry,
    *,
    issuer: str | None,
    group: str | None,
    kind: DifferenceKind | None,
    account: str | None,
    after: str | None,
    limit: int,
    whole: bool,
) -> Pages:
    """The list from `after` on; one page, or all that follow, each read when it is printed. Raises NotFound."""
    account_id = None
    if account is not None:
        with registry.read() as reader:
            account_id = account_named(reader, account).account_id
    asked = DifferenceQuestion(issuer, group, kind, account_id)

    def documents() -> Iterator[Mapping[str, Any]]:
        place: int | str | None = after
        while True:
            with registry.read() as reader:
                page = reader.page_of_differences(asked, after=place, limit=limit)
            yield {"differences": list(map(difference_document, page.items)), "next": page.next}
            place = page.next
            if place is None or not whole:
                return

    return Pages(documents(), "differences", COLUMNS, _row, whole)


def _row(one: Mapping[str, Any], _: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        one["account"],
        one["identity"]["subject"],
        one["identity"]["issuer"],
        one["group"],
        one["kind"],
        moment(one["first_seen"]),
        moment(one["last_seen"]),
    )
