"""`idmap components`: machine callers that ask whose token it is."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from idmap.entrypoints.cli.client import Out, Site, Why, administers
from idmap.entrypoints.cli.lists import After, Limit, Whole, pages_of
from idmap.entrypoints.cli.output import (
    Answer,
    Pages,
    check_secret_place,
    moment,
    write_secret,
)

app = typer.Typer(no_args_is_help=True, help="Machine callers that ask whose token it is.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The component's name.")]


@administers(app, "add")
def add(
    site: Site,
    name: Name,
    *,
    door: Annotated[
        list[str],
        typer.Option("--door", help="A door whose tokens it may present; may be repeated."),
    ],
    reason: Why,
    out: Out,
) -> Answer:
    """Add a component and write its credential."""
    check_secret_place(out)
    made = site.post("/v1/components", {"name": name, "doors": door, "reason": reason})
    told = write_secret(out, made.pop("secret"))
    return Answer(made, text="" if out == "-" else f"Added {name}. {told}")


@administers(app, "list")
def list_components(
    site: Site, *, after: After = None, limit: Limit = 1000, whole: Whole = False
) -> Pages:
    """List the components and the doors they may ask for.

    Example: idmap components list --json
    """
    return pages_of(
        site,
        "/v1/components",
        "components",
        ("NAME", "DOORS", "CREATED", "REVOKED"),
        lambda c, _: (c["name"], c["doors"], moment(c["created"]), c["revoked"]),
        after=after,
        limit=limit,
        whole=whole,
    )


@administers(app, "revoke", edits=True)
def revoke(site: Site, name: Name, *, reason: Why) -> Answer:
    """Revoke a component's credential."""
    document = site.ask("DELETE", f"/v1/components/{quote(name, safe='')}", reason=reason)
    return Answer(document, text=f"Revoked {name}.")
