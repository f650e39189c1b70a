"""`idmap ranges`: where numbers come from."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

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
    acknowledge_foreign: Annotated[
        bool,
        typer.Option(
            "--acknowledge-foreign",
            help="Something else on the site has numbers of it; those are never issued.",
        ),
    ] = False,
) -> Answer:
    """Add a range. It can never be changed or removed: its numbers are for good.

    It is compared with the users and groups of the service's host, and with the directory under [site.ldap].
    """
    body = {
        "name": name,
        "purpose": str(purpose),
        "first": first,
        "last": last,
        "acknowledge": acknowledge,
        "acknowledge_foreign": acknowledge_foreign,
        "reason": reason,
    }
    made = site.post("/v1/ranges", body)
    warnings = "".join(f"\nAcknowledged: {warning}" for warning in made["warnings"])
    holes = f"\n{made['holes']} numbers of it are in use and never issued." if made["holes"] else ""
    return Answer(made, text=f"Added {name}: {first} to {last}.{warnings}{holes}")


@administers(app, "check")
def check(
    site: Site,
    name: Annotated[str | None, typer.Argument(help="Only this range.")] = None,
) -> Answer:
    """Compare the ranges with the numbers that the site uses now; tells at most ten of each."""
    document = site.get("/v1/ranges/check", name=name)
    rows = [
        (checked["name"], found["kind"], found["number"], found["name"], found["where"])
        for checked in document["ranges"]
        for found in checked["examples"]
    ]
    answer = as_table(document, ("RANGE", "KIND", "NUMBER", "NAME", "FOUND IN"), rows)
    counts = [
        f"{c['name']}: {c['foreign']} in use elsewhere, and {c['taken']} issued here and used elsewhere"
        if c["taken"]
        else f"{c['name']}: {c['foreign']} in use elsewhere"
        for c in document["ranges"]
    ]
    return Answer(document, columns=answer.columns, rows=answer.rows, text="\n".join(counts))


@administers(app, "acknowledge-foreign")
def acknowledge_foreign_numbers(
    site: Site, name: Annotated[str, typer.Argument(help="The range.")], *, reason: Why
) -> Answer:
    """Never issue those numbers of a range that something else uses now."""
    made = site.post(f"/v1/ranges/{quote(name, safe='')}/foreign", {"reason": reason})
    return Answer(made, text=f"{made['holes']} more numbers of {name} are never issued.")


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
