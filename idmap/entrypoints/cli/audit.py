"""`idmap audit`: the record of changes."""

from __future__ import annotations

from typing import Annotated

import typer

from idmap.entrypoints.cli.client import Site, administers
from idmap.entrypoints.cli.output import Answer, as_table, moment

app = typer.Typer(no_args_is_help=True, help="The record of changes: who, when, why.")


@administers(app, "list")
def list_changes(
    site: Site,
    *,
    after: Annotated[int, typer.Option("--after", min=0, help="From this sequence number on.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
) -> Answer:
    """List changes, oldest first."""
    document = site.get("/v1/changes", after=after, limit=limit)
    answer = as_table(
        document,
        ("SEQUENCE", "WHEN", "WHO", "WHAT", "WHY"),
        (
            (c["sequence"], moment(c["at"]), c["author"], c["action"], c["reason"])
            for c in document["changes"]
        ),
    )
    if document["next"] is None:
        return answer
    return Answer(
        document, columns=answer.columns, rows=answer.rows, text=f"more: --after {document['next']}"
    )


@administers(app, "verify")
def verify(site: Site) -> Answer:
    """Check every commitment and the chain. Exit code 1 when the record was tampered with."""
    document = site.get("/v1/changes/verify")
    return Answer(document, text=f"{document['verified']} changes verified.")
