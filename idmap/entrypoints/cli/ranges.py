"""`idmap ranges`: where numbers come from."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from idmap.domain.numbers import RangePurpose
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.output import Answer, as_table

app = typer.Typer(no_args_is_help=True, help="Where uid and gid numbers come from.")


@administers(app, "add")
def add(
    site: Site,
    name: Annotated[str, typer.Argument(help="A name for the range, as rules use it.")],
    *,
    purpose: Annotated[RangePurpose, typer.Option("--purpose", help="Whom the numbers are for.")],
    first: Annotated[int, typer.Option("--first", help="Lowest number.")],
    last: Annotated[int, typer.Option("--last", help="Highest number.")],
    reason: Why,
    acknowledge: Annotated[
        bool,
        typer.Option(
            "--acknowledge", help="Other software may use these numbers too; that is meant."
        ),
    ] = False,
) -> Answer:
    """Add a range. It can never be changed or removed: its numbers are for good."""
    body = {
        "name": name,
        "purpose": str(purpose),
        "first": first,
        "last": last,
        "acknowledge": acknowledge,
        "reason": reason,
    }
    made = site.post("/v1/ranges", body)
    warnings = "".join(f"\nAcknowledged: {warning}" for warning in made["warnings"])
    return Answer(made, text=f"Added {name}: {first} to {last}.{warnings}")


@administers(app, "list")
def list_ranges(site: Site) -> Answer:
    """List the ranges and how far they are used."""
    document = site.get("/v1/ranges")
    low = [r["name"] for r in document["ranges"] if r["low"]]
    answer = as_table(
        document,
        ("NAME", "PURPOSE", "FIRST", "LAST", "NEXT", "FREE"),
        (
            (r["name"], r["purpose"], r["first"], r["last"], r["next"], r["free"])
            for r in document["ranges"]
        ),
    )
    if not low:
        return answer
    return replace(
        answer, text=f"Less than a tenth is left: {', '.join(low)}. Add a range with 'ranges add'."
    )
