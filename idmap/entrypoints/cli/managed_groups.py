"""`idmap groups managed`: for group managers, who come with their own token and see their own groups alone."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.lists import After, IssuerOption, Limit, Whole, pages_of
from idmap.entrypoints.cli.output import Answer, Pages, as_fields

app = typer.Typer(
    no_args_is_help=True,
    help="Groups that you manage: list, members, show, suspend, restore. With your token in --key-file.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Username, or uid number.")]


@administers(app, "list")
def list_managed(site: Site) -> Pages:
    """List the groups that you manage, and the rules that speak of them."""
    return pages_of(
        site,
        "/v1/managed",
        "groups",
        ("PATH", "NAME", "GID", "RULES", "ISSUER"),
        lambda g, _: (g["path"], g["name"], g["gid"], g["named_by"], g["issuer"]),
        after=None,
        limit=None,
        whole=False,
    )


@administers(app, "members")
def list_members(
    site: Site,
    path: Annotated[str, typer.Argument(metavar="PATH", help="The group's path at its issuer.")],
    *,
    issuer: IssuerOption = None,
    after: After = None,
    limit: Limit = 100,
    whole: Whole = False,
) -> Pages:
    """List who is in one of your groups: identities recorded in it, then accounts that hold it without.

    Example: idmap groups managed members lhc/analysis --all
    """
    return pages_of(
        site,
        "/v1/managed/members",
        "members",
        ("USERNAME", "STATE", "SUBJECT", "AT ITS SOURCE"),
        lambda m, _: (m["username"], m["state"], *_recorded(m)),
        after=after,
        limit=limit,
        whole=whole,
        group=path,
        issuer=issuer,
    )


@administers(app, "show")
def show_member(site: Site, name: Name) -> Answer:
    """Show one member of your groups, with the etag."""
    m = site.tagged(f"/v1/managed/members/{quote(name, safe='')}")
    fields: list[tuple[str, object]] = [(field, m[field]) for field in ("username", "state")]
    fields += [("identity", f"{i['subject']} @ {i['issuer']}") for i in m["identities"]]
    fields += [("group", f"{g['path']} @ {g['issuer']}") for g in m["groups"]]
    return as_fields(m, [*fields, ("etag", m["etag"])])


@administers(app, "suspend", edits=True)
def suspend(site: Site, name: Name, *, reason: Why) -> Answer:
    """Suspend the account of a member, until a person restores it.

    The whole account: whatever other groups it is in. Nodes learn of it with the next snapshot.

    Example: idmap groups managed suspend alice --reason "left the experiment"
    """
    return _move(site, name, "suspend", reason)


@administers(app, "restore", edits=True)
def restore(site: Site, name: Name, *, reason: Why) -> Answer:
    """Restore a member whom you suspended yourself, while the rules give them an account."""
    return _move(site, name, "restore", reason)


def _move(site: Site, name: str, verb: str, reason: str) -> Answer:
    path = f"/v1/managed/members/{quote(name, safe='')}/{verb}"
    member = site.post(path, {"reason": reason})
    return Answer(member, text=f"{member['username']} is {member['state']}.")


def _recorded(member: Any) -> tuple[object, object]:
    if member["identity"] is None:
        return None, None
    return member["identity"]["subject"], "active" if member["active_at_source"] else "not active"
