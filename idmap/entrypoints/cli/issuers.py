"""`idmap issuers`: whom the site trusts, and for what. `add` is in `issuer_add`."""

from __future__ import annotations

from typing import Annotated

import typer

from idmap.domain.profiles import READY_MADE
from idmap.entrypoints.cli.client import Site, Why, administers
from idmap.entrypoints.cli.issuer_add import Exact, add, profile_fields
from idmap.entrypoints.cli.output import Answer, as_fields, as_table, show

app = typer.Typer(no_args_is_help=True, help="Whom the site trusts, and for what.")

administers(app, "add", edits=True)(add)


@app.command("profiles")
def profiles(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the ready-made profiles; asks nobody."""
    document = {
        "profiles": [
            {"name": name, "summary": r.summary, "needs": list(r.needs), "members": dict(r.members)}
            for name, r in READY_MADE.items()
        ]
    }
    rows = ((name, ready.summary, ready.needs) for name, ready in READY_MADE.items())
    show(as_table(document, ("PROFILE", "FOR", "NEEDS"), rows), as_json=as_json)


@administers(app, "list")
def list_issuers(site: Site) -> Answer:
    """List the trusted issuers.

    Example: idmap issuers list --json
    """
    document = site.get("/v1/issuers")
    return as_table(
        document,
        ("ISSUER", "PROFILE", "DOORS", "RECORDS GROUPS"),
        (
            (i["issuer"], i["profile"], sorted(i["audiences"]), i["record_groups_from_tokens"])
            for i in document["issuers"]
        ),
    )


@administers(app, "show")
def show_issuer(site: Site, issuer: Exact) -> Answer:
    """Show one issuer's profile, with the audiences of every door, and its etag.

    Example: idmap issuers show https://iam.example/
    """
    document = site.tagged("/v1/issuers", issuer=issuer)
    return as_fields(document, profile_fields(document))


@administers(app, "remove", edits=True)
def remove(site: Site, issuer: Exact, *, reason: Why) -> Answer:
    """Stop trusting an issuer. Accounts stay; its tokens open nothing."""
    document = site.ask("DELETE", "/v1/issuers", query={"issuer": issuer}, reason=reason)
    return Answer(document, text=f"No longer trusted: {issuer}")
