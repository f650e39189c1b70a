"""`idmap audit`: the record of changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from idmap.entrypoints.cli.client import Site, administers
from idmap.entrypoints.cli.lists import (
    After,
    IssuerOption,
    Limit,
    SubjectOption,
    Whole,
    pages_of,
)
from idmap.entrypoints.cli.output import Answer, Pages, moment

app = typer.Typer(no_args_is_help=True, help="The record of changes: who, when, why.")


Moment = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], metavar="TIME", help="UTC."),
]


@administers(app, "list")
def list_changes(
    site: Site,
    *,
    author: Annotated[
        str | None, typer.Option("--author", help="As the list shows it, as in admin-key:name.")
    ] = None,
    action: Annotated[str | None, typer.Option("--action", help="As in add_ban.")] = None,
    since: Moment = None,
    until: Moment = None,
    account: Annotated[
        str | None, typer.Option("--account", help="About this account or its identities.")
    ] = None,
    issuer: IssuerOption = None,
    subject: SubjectOption = None,
    after: After = None,
    limit: Limit = 100,
    whole: Whole = False,
) -> Pages:
    """List changes, oldest first.

    Example: idmap audit list --account alice --since 2026-11-01 --all
    """
    return pages_of(
        site,
        "/v1/changes",
        "changes",
        ("SEQUENCE", "WHEN", "WHO", "WHAT", "WHY"),
        lambda c, _: (c["sequence"], moment(c["at"]), c["author"], c["action"], c["reason"]),
        after=after,
        limit=limit,
        whole=whole,
        author=author,
        action=action,
        since=None if since is None else since.replace(tzinfo=UTC).isoformat(),
        until=None if until is None else until.replace(tzinfo=UTC).isoformat(),
        account=account,
        issuer=issuer,
        subject=subject,
    )


@administers(app, "verify")
def verify(site: Site) -> Answer:
    """Check every commitment and the chain. Exit code 1 when the record was tampered with."""
    document = site.get("/v1/changes/verify")
    return Answer(document, text=f"{document['verified']} changes verified.")
