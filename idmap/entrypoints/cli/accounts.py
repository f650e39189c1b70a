"""`idmap accounts`: who has one, and what an administrator may do to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from idmap.domain.accounts import AccountState
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.lists import After, Limit, Whole, pages_of
from idmap.entrypoints.cli.output import Answer, Pages, as_fields

app = typer.Typer(
    no_args_is_help=True, help="Accounts: list, show, approve, suspend, restore, close."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Username, or uid number.")]


@administers(app, "list")
def list_accounts(
    site: Site,
    *,
    state: Annotated[AccountState | None, typer.Option("--state", help="Only these.")] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Given by this rule.")] = None,
    account_class: Annotated[
        str | None, typer.Option("--class", help="Of this class of the rules in force.")
    ] = None,
    group: Annotated[str | None, typer.Option("--group", help="In this POSIX group.")] = None,
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="With an identity of this exact issuer.")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="The username begins so; quick at any size.")
    ] = None,
    search: Annotated[
        str | None, typer.Option("--search", help="Part of the username; reads all of them.")
    ] = None,
    uid_from: Annotated[int | None, typer.Option("--uid-from", min=0)] = None,
    uid_to: Annotated[int | None, typer.Option("--uid-to", min=0)] = None,
    grace_before: Annotated[
        datetime | None,
        typer.Option(
            "--grace-before",
            formats=["%Y-%m-%d"],
            metavar="DAY",
            help="In grace that ends before this day.",
        ),
    ] = None,
    held: Annotated[
        bool | None, typer.Option("--held/--not-held", help="Suspended by a person, or not.")
    ] = None,
    after: After = None,
    limit: Limit = 100,
    whole: Whole = False,
) -> Pages:
    """List accounts, a page at a time.

    Example: idmap accounts list --state grace --grace-before 2026-12-01 --all
    """
    return pages_of(
        site,
        "/v1/accounts",
        "accounts",
        ("USERNAME", "UID", "GID", "GROUPS", "STATE", "GRACE UNTIL", "RULE"),
        lambda a, _: (
            a["username"],
            a["uid"],
            a["gid"],
            _groups(a),
            a["state"],
            a["grace_until"],
            a["rule"],
        ),
        after=after,
        limit=limit,
        whole=whole,
        state=state,
        rule=rule,
        group=group,
        issuer=issuer,
        prefix=prefix,
        search=search,
        uid_from=uid_from,
        uid_to=uid_to,
        grace_before=None if grace_before is None else grace_before.date().isoformat(),
        held=held,
        **{"class": account_class},
    )


@administers(app, "show")
def show_account(site: Site, name: Name) -> Answer:
    """Show one account with its identities, its bans and its etag.

    Example: idmap accounts show alice --json
    """
    a = site.tagged(f"/v1/accounts/{quote(name, safe='')}")
    plain = (
        "username",
        "uid",
        "gid",
        "home",
        "shell",
        "state",
        "grace_until",
        "expires_on",
        "rule",
        "node_classes",
        "etag",
    )
    fields: list[tuple[str, object]] = [(field, a[field]) for field in plain]
    fields.append(("groups", [f"{g['name']} ({g['gid']})" for g in a["groups"]]))
    fields += [("local group", name) for name in a["local_groups"]]
    fields += [("leaving", f"{g['name']}, kept to the end of {g['until']}") for g in a["leaving"]]
    fields += [("identity", f"{i['subject']} @ {i['issuer']}") for i in a["identities"]]
    fields += [("ban", f"{ban['id']}: {ban['reason']}") for ban in a["bans"]]
    return as_fields(a, fields)


@administers(app, "approve", edits=True)
def approve(site: Site, name: Name, *, reason: Why) -> Answer:
    """Approve an account that waits: active from now on, with the groups the rules give today.

    'idmap accounts list --state pending' shows who waits. To refuse, close the account.
    """
    return _move(site, name, "approve", reason)


@administers(app, "suspend", edits=True)
def suspend(site: Site, name: Name, *, reason: Why) -> Answer:
    """Suspend an account: it keeps everything and may not log in.

    Nodes learn of it with the next snapshot. On security grounds use 'idmap bans add': that is at once.

    Example: idmap accounts suspend alice --reason "left the project"
    """
    return _move(site, name, "suspend", reason)


@administers(app, "restore", edits=True)
def restore(site: Site, name: Name, *, reason: Why) -> Answer:
    """Make a suspended account active again."""
    return _move(site, name, "restore", reason)


@administers(app, "close", edits=True)
def close(
    site: Site,
    name: Name,
    *,
    reason: Why,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; there is no way back.")] = False,
) -> Answer:
    """Close an account for good. Its name and number are never given again."""
    if not yes:
        typer.confirm(f"Close {name} for good?", abort=True, err=True)
    return _move(site, name, "close", reason)


def _move(site: Site, name: str, verb: str, reason: str) -> Answer:
    account = site.post(f"/v1/accounts/{quote(name, safe='')}/{verb}", {"reason": reason})
    return Answer(account, text=f"{account['username']} is {account['state']}.")


def _groups(account: Mapping[str, Any]) -> list[str]:
    return [group["name"] for group in account["groups"]]
