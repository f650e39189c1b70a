"""`idmap groups`: the groups that have a gid."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from idmap.entrypoints.cli import managed_groups
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.lists import After, IssuerOption, Limit, Whole, pages_of
from idmap.entrypoints.cli.output import Answer, Pages, as_fields

app = typer.Typer(
    no_args_is_help=True, help="Groups that have a gid: list, show, add, members, managed, rebind."
)
members = typer.Typer(no_args_is_help=True, help="Who is in a site-local group.")
app.add_typer(members, name="members")
app.add_typer(managed_groups.app, name="managed")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The group's POSIX name.")]
Username = Annotated[str, typer.Argument(metavar="USERNAME")]


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


@administers(app, "show")
def show_group(site: Site, name: Name) -> Answer:
    """Show one group, its id at its issuer, and the accounts that hold it as a secondary group."""
    g = site.get(f"/v1/groups/{quote(name, safe='')}")
    plain = ("name", "gid", "path", "issuer", "id", "local", "members")
    return as_fields(g, [(field, g[field]) for field in plain])


@administers(app, "add")
def add(
    site: Site,
    name: Name,
    *,
    reason: Why,
    number_range: Annotated[
        str, typer.Option("--range", help="The range of groups its gid is from.")
    ] = "groups",
) -> Answer:
    """Add a site-local group, bound to no issuer. Its name and gid are for good."""
    made = site.post("/v1/groups", {"name": name, "range": number_range, "reason": reason})
    return Answer(made, text=f"Added {made['name']} with gid {made['gid']}.")


@administers(members, "add")
def add_member(site: Site, name: Name, username: Username, *, reason: Why) -> Answer:
    """Put an account into a site-local group. No nightly run takes it out again."""
    body = {"account": username, "reason": reason}
    changed = site.post(f"/v1/groups/{quote(name, safe='')}/members", body)
    return Answer(changed, text=f"{username} is in {name}.")


@administers(members, "remove")
def remove_member(site: Site, name: Name, username: Username, *, reason: Why) -> Answer:
    """Take an account out of a site-local group. Sessions that run already keep it."""
    path = f"/v1/groups/{quote(name, safe='')}/members/{quote(username, safe='')}"
    changed = site.ask("DELETE", path, reason=reason)
    return Answer(changed, text=f"{username} is not in {name}.")


@administers(app, "rebind")
def rebind(
    site: Site,
    path: Annotated[str, typer.Argument(help="The group's path at its issuer.")],
    *,
    issuer: Annotated[str, typer.Option("--issuer", help="The exact string.")],
    new_id: Annotated[str, typer.Option("--id", help="The new group's id, as the run named it.")],
    reason: Why,
) -> Answer:
    """Accept a group that was deleted at its issuer and made anew under the same path.

    Its members get the old one's gid, and so its files.
    """
    body = {"issuer": issuer, "path": path, "id": new_id, "reason": reason}
    made = site.post("/v1/groups/rebind", body)
    return Answer(made, text=f"{path} is the group with the id {new_id} now.")
