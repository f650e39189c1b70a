"""Every `list` command: `--limit`, `--after`, `--all`, and the pages behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from idmap.entrypoints.cli.client import Site
from idmap.entrypoints.cli.output import Pages

Limit = Annotated[
    int, typer.Option("--limit", min=1, max=1000, help="At most so many; with --all, per page.")
]
After = Annotated[
    str | None, typer.Option("--after", metavar="NEXT", help="Go on after this: `next` of a page.")
]
Whole = Annotated[bool, typer.Option("--all", help="Every page, printed as it comes.")]
IssuerOption = Annotated[str | None, typer.Option("--issuer", help="An issuer's exact string.")]
SubjectOption = Annotated[
    str | None, typer.Option("--subject", help="With --issuer: one identity.")
]
Row = Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[object]]


def pages_of(
    site: Site,
    path: str,
    member: str,
    columns: tuple[str, ...],
    row: Row,
    *,
    after: str | None,
    limit: int | None,
    whole: bool,
    **query: object,
) -> Pages:
    """The list at a path, from `after` on; one page, or all that follow. Asks for a page when it is printed."""

    def documents() -> Iterator[Mapping[str, Any]]:
        place: object = after
        while True:
            document = site.get(path, after=place, limit=limit, **query)
            yield document
            place = document["next"]
            if place is None or not whole:
                return

    return Pages(documents(), member, columns, row, whole)
