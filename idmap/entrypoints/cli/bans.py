"""`idmap bans`: refuse somebody now, at every door."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.output import Answer, as_table, moment

app = typer.Typer(no_args_is_help=True, help="Refuse somebody now, at every door.")


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
    """Ban an account or an identity. It holds from the next request on, and on nodes within a second."""
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
    all_bans: Annotated[bool, typer.Option("--all", help="Those over by their date too.")] = False,
) -> Answer:
    """List the bans in force."""
    document = site.get("/v1/bans", all=all_bans)
    return as_table(
        document,
        ("ID", "WHO", "REASON", "BY", "SINCE", "UNTIL"),
        (
            (b["id"], _who(b), b["reason"], b["author"], moment(b["since"]), moment(b["until"]))
            for b in document["bans"]
        ),
    )


@administers(app, "lift")
def lift(
    site: Site,
    ban: Annotated[int, typer.Argument(metavar="ID", help="As 'bans list' shows it.")],
    *,
    reason: Why,
) -> Answer:
    """Lift a ban. It stays on the record."""
    document = site.ask("DELETE", f"/v1/bans/{ban}", reason=reason)
    return Answer(document, text=f"Ban {ban} is lifted.")


def _who(ban: dict[str, Any]) -> str:
    identity = ban["identity"]
    if identity is not None:
        return f"{identity['subject']} @ {identity['issuer']}"
    return f"account {ban['account_id']}"
