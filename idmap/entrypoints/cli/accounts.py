"""`idmap accounts`: who has one, and what an administrator may do to it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from idmap.domain.accounts import AccountState
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.output import Answer, as_fields, as_table

app = typer.Typer(
    no_args_is_help=True, help="Accounts: list, show, approve, suspend, restore, close."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Username, or uid number.")]


@administers(app, "list")
def list_accounts(
    site: Site,
    *,
    state: Annotated[AccountState | None, typer.Option("--state", help="Only these.")] = None,
    search: Annotated[str | None, typer.Option("--search", help="Part of the username.")] = None,
    after: Annotated[int, typer.Option("--after", min=0, help="`next` of the page before.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
) -> Answer:
    """List accounts, a page at a time."""
    document = site.get("/v1/accounts", state=state, search=search, after=after, limit=limit)
    answer = as_table(
        document,
        ("USERNAME", "UID", "GID", "GROUPS", "STATE", "GRACE UNTIL", "RULE"),
        (
            (a["username"], a["uid"], a["gid"], _groups(a), a["state"], a["grace_until"], a["rule"])
            for a in document["accounts"]
        ),
    )
    if document["next"] is None:
        return answer
    return Answer(
        document, columns=answer.columns, rows=answer.rows, text=f"more: --after {document['next']}"
    )


@administers(app, "show")
def show_account(site: Site, name: Name) -> Answer:
    """Show one account with its identities and bans."""
    a = site.get(f"/v1/accounts/{quote(name, safe='')}")
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
    )
    fields: list[tuple[str, object]] = [(field, a[field]) for field in plain]
    fields.append(("groups", [f"{g['name']} ({g['gid']})" for g in a["groups"]]))
    fields += [("leaving", f"{g['name']}, kept to the end of {g['until']}") for g in a["leaving"]]
    fields += [("identity", f"{i['subject']} @ {i['issuer']}") for i in a["identities"]]
    fields += [("ban", f"{ban['id']}: {ban['reason']}") for ban in a["bans"]]
    return as_fields(a, fields)


@administers(app, "approve")
def approve(site: Site, name: Name, *, reason: Why) -> Answer:
    """Approve an account that waits: active from now on, with the groups the rules give today.

    'idmap accounts list --state pending' shows who waits. To refuse, close the account.
    """
    return _move(site, name, "approve", reason)


@administers(app, "suspend")
def suspend(site: Site, name: Name, *, reason: Why) -> Answer:
    """Suspend an account: it keeps everything and may not log in.

    Nodes learn of it with the next snapshot. On security grounds use 'idmap bans add': that is at once.
    """
    return _move(site, name, "suspend", reason)


@administers(app, "restore")
def restore(site: Site, name: Name, *, reason: Why) -> Answer:
    """Make a suspended account active again."""
    return _move(site, name, "restore", reason)


@administers(app, "close")
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


def _groups(account: dict[str, Any]) -> list[str]:
    return [group["name"] for group in account["groups"]]
