"""The command `idmap`: every subcommand is registered here, each lives in a module of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from idmap import __version__
from idmap.entrypoints.cli import (
    accounts,
    audit,
    bans,
    components,
    db,
    groups,
    identities,
    issuers,
    keys,
    nodes,
    provision,
    ranges,
    rules,
    site,
    snapshot,
)
from idmap.entrypoints.cli.doctor import doctor_command
from idmap.entrypoints.cli.explain import explain
from idmap.entrypoints.cli.serve import serve_command, work_command
from idmap.entrypoints.sign.main import sign_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Federated identities to stable HPC accounts, and one answer at every door.",
)

_SERVICE = "The service"
_POLICY = "Policy and people (over REST)"
_OPERATION = "Operation (on the service's host)"

app.command("init", rich_help_panel=_SERVICE)(site.init_command)
app.command("serve", rich_help_panel=_SERVICE)(serve_command)
app.command("work", rich_help_panel=_SERVICE)(work_command)
app.command("sign", rich_help_panel=_SERVICE)(sign_command)

app.add_typer(issuers.app, name="issuers", rich_help_panel=_POLICY)
app.add_typer(rules.app, name="rules", rich_help_panel=_POLICY)
app.add_typer(ranges.app, name="ranges", rich_help_panel=_POLICY)
app.add_typer(accounts.app, name="accounts", rich_help_panel=_POLICY)
app.add_typer(groups.app, name="groups", rich_help_panel=_POLICY)
app.add_typer(identities.app, name="identities", rich_help_panel=_POLICY)
app.add_typer(bans.app, name="bans", rich_help_panel=_POLICY)
app.add_typer(nodes.app, name="nodes", rich_help_panel=_POLICY)
app.add_typer(components.app, name="components", rich_help_panel=_POLICY)
app.add_typer(audit.app, name="audit", rich_help_panel=_POLICY)
app.command("explain", rich_help_panel=_POLICY)(explain)

app.add_typer(provision.app, name="provision", rich_help_panel=_OPERATION)
app.add_typer(keys.app, name="keys", rich_help_panel=_OPERATION)
app.add_typer(snapshot.app, name="snapshot", rich_help_panel=_OPERATION)
app.add_typer(db.app, name="db", rich_help_panel=_OPERATION)
app.command("doctor", rich_help_panel=_OPERATION)(doctor_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"idmap {__version__}")
        raise typer.Exit


@app.callback()
def idmap(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Registered for `--version` alone."""


def main() -> None:
    """The command `idmap`."""
    app()
