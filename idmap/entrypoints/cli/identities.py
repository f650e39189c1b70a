"""`idmap identities`: what is on record about one federated identity."""

from __future__ import annotations

from typing import Annotated

import typer

from idmap.entrypoints.cli.client import Site, administers
from idmap.entrypoints.cli.lists import After, IssuerOption, Limit, Whole, pages_of
from idmap.entrypoints.cli.output import Answer, Pages, as_fields

app = typer.Typer(no_args_is_help=True, help="What is on record about federated identities.")


@app.callback()
def _group_of_commands() -> None:
    """What is on record about federated identities."""


@administers(app, "list")
def list_identities(
    site: Site,
    *,
    issuer: IssuerOption = None,
    subject_prefix: Annotated[
        str | None,
        typer.Option("--subject-prefix", help="With --issuer: how the subject begins."),
    ] = None,
    linked: Annotated[
        bool | None, typer.Option("--linked/--unlinked", help="With an account, or without.")
    ] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Active at its source, or not.")
    ] = None,
    robot: Annotated[bool | None, typer.Option("--robots/--people")] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="PATH", help="In this federated group.")
    ] = None,
    after: After = None,
    limit: Limit = 100,
    whole: Whole = False,
) -> Pages:
    """List the identities on record.

    Example: idmap identities list --unlinked --group atlas/users --all
    """
    return pages_of(
        site,
        "/v1/identities",
        "identities",
        ("SUBJECT", "ISSUER", "ACCOUNT", "ACTIVE", "GROUPS"),
        lambda i, _: (
            i["identity"]["subject"],
            i["identity"]["issuer"],
            None if i["account"] is None else i["account"]["username"],
            i["active_at_source"],
            i["groups"],
        ),
        after=after,
        limit=limit,
        whole=whole,
        issuer=issuer,
        subject_prefix=subject_prefix,
        linked=linked,
        active=active,
        robot=robot,
        group=group,
    )


@administers(app, "show")
def show_identity(
    site: Site,
    *,
    issuer: Annotated[str, typer.Option("--issuer", help="The exact string.")],
    subject: Annotated[str, typer.Option("--subject", help="The exact string.")],
) -> Answer:
    """Show one identity: its groups, its account, its bans."""
    found = site.tagged("/v1/identities", issuer=issuer, subject=subject)
    account = found["account"]
    return as_fields(
        found,
        [
            ("identity", f"{subject} @ {issuer}"),
            ("active at source", found["active_at_source"]),
            ("groups", found["groups"]),
            ("account", None if account is None else f"{account['username']} ({account['uid']})"),
            ("state", None if account is None else account["state"]),
            *(("ban", f"{ban['id']}: {ban['reason']}") for ban in found["bans"]),
            ("etag", found["etag"]),
        ],
    )
