"""`idmap nodes`: machines that are told who may log in."""

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

app = typer.Typer(no_args_is_help=True, help="Machines that are told who may log in.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The node's name.")]


@administers(app, "enrol")
def enrol(
    site: Site,
    name: Name,
    *,
    node_class: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="Nodes treated alike, as in login.")
    ],
    reason: Why,
    out: Out,
) -> Answer:
    """Enrol a node and write its credential, for /etc/idmap/node.key on the node."""
    check_secret_place(out)
    made = site.post("/v1/nodes", {"name": name, "node_class": node_class, "reason": reason})
    told = write_secret(out, made.pop("secret"))
    return Answer(made, text="" if out == "-" else f"Enrolled {name}. {told}")


@administers(app, "list")
def list_nodes(
    site: Site,
    *,
    node_class: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Of this class.")
    ] = None,
    after: After = None,
    limit: Limit = 1000,
    whole: Whole = False,
) -> Pages:
    """List the nodes and how current each is.

    Example: idmap nodes list --class login
    """
    return pages_of(
        site,
        "/v1/nodes",
        "nodes",
        ("NAME", "CLASS", "CURRENT", "REVISION", "BANS", "REPORTED", "MASKED"),
        lambda n, document: (
            n["name"],
            n["node_class"],
            n["current"],
            f"{n['revision']}/{document['revision']}",
            f"{n['ban_counter']}/{document['ban_counter']}",
            moment(n["reported"]) or "never",
            n["masked"],
        ),
        after=after,
        limit=limit,
        whole=whole,
        **{"class": node_class},
    )


@administers(app, "revoke", edits=True)
def revoke(site: Site, name: Name, *, reason: Why) -> Answer:
    """Revoke a node's credential; its stream ends."""
    document = site.ask("DELETE", f"/v1/nodes/{quote(name, safe='')}", reason=reason)
    return Answer(document, text=f"Revoked {name}.")
