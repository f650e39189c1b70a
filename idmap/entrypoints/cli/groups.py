"""`idmap groups`: the groups that have a gid."""

from __future__ import annotations

from typing import Annotated

import typer

from idmap.entrypoints.cli.client import Site, administers
from idmap.entrypoints.cli.lists import After, IssuerOption, Limit, Whole, pages_of
from idmap.entrypoints.cli.output import Pages

app = typer.Typer(no_args_is_help=True, help="Groups that have a gid.")


@app.callback()
def _group_of_commands() -> None:
    """Groups that have a gid."""


@administers(app, "list")
def list_groups(
    site: Site,
    *,
    issuer: IssuerOption = None,
    prefix: Annotated[str | None, typer.Option("--prefix", help="The name begins so.")] = None,
    after: After = None,
    limit: Limit = 1000,
    whole: Whole = False,
) -> Pages:
    """List the groups and the federated groups they stand for.

    Example: idmap groups list --prefix atlas_ --all
    """
    return pages_of(
        site,
        "/v1/groups",
        "groups",
        ("NAME", "GID", "PATH", "ISSUER"),
        lambda g, _: (g["name"], g["gid"], g["path"], g["issuer"]),
        after=after,
        limit=limit,
        whole=whole,
        issuer=issuer,
        prefix=prefix,
    )
