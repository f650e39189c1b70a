"""`idmap bans`: refuse somebody now, at every door."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.lists import (
    After,
    IssuerOption,
    Limit,
    SubjectOption,
    pages_of,
)
from idmap.entrypoints.cli.output import Answer, Pages, as_fields, moment

app = typer.Typer(no_args_is_help=True, help="Refuse somebody now, at every door.")

BanId = Annotated[int, typer.Argument(metavar="ID", help="As 'bans list' shows it.")]


@administers(app, "add")
def add(
    site: Site,
    *,
    reason: Why,
    account: Annotated[str | None, typer.Option("--account", help="A username.")] = None,
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="With --subject: an identity.")
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject")] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            metavar="TIME",
            help="End (UTC); without it, until lifted.",
        ),
    ] = None,
) -> Answer:
    """Ban an account or an identity. It holds from the next request on, and on nodes within a second.

    Example: idmap bans add --account alice --until 2026-12-31 --reason "stolen laptop"
    """
    if (issuer is None) != (subject is None):
        raise InvalidInput(Reason.REQUEST_INVALID, "--issuer and --subject come together")
    if (account is None) == (issuer is None):
        raise InvalidInput(Reason.REQUEST_INVALID, "either --account or --issuer and --subject")
    body: dict[str, Any] = {"reason": reason}
    if account is not None:
        body["account"] = account
    else:
        body["identity"] = {"issuer": issuer, "subject": subject}
    if until is not None:
        body["until"] = until.replace(tzinfo=UTC).isoformat()
    made = site.post("/v1/bans", body)
    return Answer(made, text=f"Ban {made['id']} holds.")


@administers(app, "list")
def list_bans(
    site: Site,
    *,
    account: Annotated[
        str | None, typer.Option("--account", help="Of this account or its identities.")
    ] = None,
    issuer: IssuerOption = None,
    subject: SubjectOption = None,
    author: Annotated[str | None, typer.Option("--author", help="Ordered by.")] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="Those over by their date too.")
    ] = False,
    after: After = None,
    limit: Limit = 1000,
    whole: Annotated[
        bool, typer.Option("--all", help="Every page, and those over by their date too.")
    ] = False,
) -> Pages:
    """List the bans in force.

    Example: idmap bans list --account alice --expired
    """
    return pages_of(
        site,
        "/v1/bans",
        "bans",
        ("ID", "WHO", "REASON", "BY", "SINCE", "UNTIL"),
        lambda b, _: (
            b["id"],
            _who(b),
            b["reason"],
            b["author"],
            moment(b["since"]),
            moment(b["until"]),
        ),
        after=after,
        limit=limit,
        whole=whole,
        account=account,
        issuer=issuer,
        subject=subject,
        author=author,
        all=expired or whole,
    )


@administers(app, "show")
def show_ban(site: Site, ban: BanId) -> Answer:
    """Show one ban and its etag.

    Example: idmap bans show 7
    """
    found = site.tagged(f"/v1/bans/{ban}")
    return as_fields(
        found,
        [
            ("id", found["id"]),
            ("who", _who(found)),
            ("reason", found["reason"]),
            ("by", found["author"]),
            ("since", moment(found["since"])),
            ("until", moment(found["until"])),
            ("etag", found["etag"]),
        ],
    )


@administers(app, "lift", edits=True)
def lift(
    site: Site,
    ban: BanId,
    *,
    reason: Why,
) -> Answer:
    """Lift a ban. It stays on the record."""
    document = site.ask("DELETE", f"/v1/bans/{ban}", reason=reason)
    return Answer(document, text=f"Ban {ban} is lifted.")


def _who(ban: Mapping[str, Any]) -> str:
    identity = ban["identity"]
    if identity is not None:
        return f"{identity['subject']} @ {identity['issuer']}"
    return f"account {ban['account_id']}"
