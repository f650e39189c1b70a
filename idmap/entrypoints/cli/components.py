"""`idmap components`: machine callers that ask whose token it is."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from idmap.entrypoints.cli.client import Out, Site, Why, administers
from idmap.entrypoints.cli.output import (
    Answer,
    as_table,
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
def list_components(site: Site) -> Answer:
    """List the components and the doors they may ask for."""
    document = site.get("/v1/components")
    return as_table(
        document,
        ("NAME", "DOORS", "CREATED", "REVOKED"),
        (
            (c["name"], c["doors"], moment(c["created"]), c["revoked"])
            for c in document["components"]
        ),
    )


@administers(app, "revoke")
def revoke(site: Site, name: Name, *, reason: Why) -> Answer:
    """Revoke a component's credential."""
    document = site.ask("DELETE", f"/v1/components/{quote(name, safe='')}", reason=reason)
    return Answer(document, text=f"Revoked {name}.")
