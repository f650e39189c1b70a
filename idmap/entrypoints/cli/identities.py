"""`idmap identities`: what is on record about one federated identity."""

from __future__ import annotations

from typing import Annotated

import typer

from idmap.entrypoints.cli.client import Site, administers
from idmap.entrypoints.cli.output import Answer, as_fields

app = typer.Typer(no_args_is_help=True, help="What is on record about federated identities.")


@app.callback()
def _group_of_commands() -> None:
    """What is on record about federated identities."""


@administers(app, "show")
def show_identity(
    site: Site,
    *,
    issuer: Annotated[str, typer.Option("--issuer", help="The exact string.")],
    subject: Annotated[str, typer.Option("--subject", help="The exact string.")],
) -> Answer:
    """Show one identity: its groups, its account, its bans."""
    found = site.get("/v1/identities", issuer=issuer, subject=subject)
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
        ],
    )
