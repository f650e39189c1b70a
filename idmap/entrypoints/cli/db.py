"""`idmap db`: the registry's database: schema, check, backup, restore. Works on the service's host."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from idmap.adapters.sql import SCHEMA, upgrade
from idmap.adapters.sql.check import CheckFinding, Verdict, check_database
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.cli.serve import Config
from idmap.entrypoints.settings import SERVICE_FILE, load_service_settings

app = typer.Typer(no_args_is_help=True, help="The registry's database: check, backup, restore.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_WORDS = {Verdict.OK: "ok   ", Verdict.WARNING: "note ", Verdict.WRONG: "WRONG"}


@app.command("upgrade")
def upgrade_command(config: Config = SERVICE_FILE) -> None:
    """Bring the schema to the one this version of idmap works with. Stop the service first."""
    with explained("idmap db upgrade"):
        settings = load_service_settings(config)
        upgrade(settings.registry.url)
    typer.echo(f"schema {SCHEMA}")


@app.command("check")
def check_command(config: Config = SERVICE_FILE, as_json: AsJson = False) -> None:
    """Check the database, the marks and the journal beside it, and whether they agree. Reads only.

    Exit status 1 when something is wrong; notes alone give 0. May run beside the service.
    """
    findings: list[CheckFinding] = []
    with explained("idmap db check"):
        for finding in check_database(load_service_settings(config).registry.url):
            findings.append(finding)
            if not as_json:
                typer.echo(f"{_WORDS[finding.verdict]} {finding.check}: {finding.saw}")
                if finding.next_step:
                    typer.echo(f"      {finding.next_step}")
    if as_json:
        rows = [
            {"check": f.check, "verdict": f.verdict, "saw": f.saw, "next_step": f.next_step}
            for f in findings
        ]
        typer.echo(json.dumps({"schema": SCHEMA, "findings": rows}, indent=2))
    raise typer.Exit(1 if any(f.verdict is Verdict.WRONG for f in findings) else 0)
