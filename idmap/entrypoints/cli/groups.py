"""`idmap groups`: the groups that have a gid."""

from __future__ import annotations

import typer

from idmap.entrypoints.cli.client import Site, administers
from idmap.entrypoints.cli.output import Answer, as_table

app = typer.Typer(no_args_is_help=True, help="Groups that have a gid.")


@app.callback()
def _group_of_commands() -> None:
    """Groups that have a gid."""


@administers(app, "list")
def list_groups(site: Site) -> Answer:
    """List the groups and the federated groups they stand for."""
    document = site.get("/v1/groups")
    return as_table(
        document,
        ("NAME", "GID", "PATH", "ISSUER"),
        ((g["name"], g["gid"], g["path"], g["issuer"]) for g in document["groups"]),
    )
