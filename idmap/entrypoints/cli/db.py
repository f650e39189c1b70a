"""`idmap db`: the registry's database: schema, check, backup, restore. Works on the service's host."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.adapters.sql import SCHEMA, upgrade
from idmap.adapters.sql.backup import write_backup
from idmap.adapters.sql.check import CheckFinding, Verdict, check_database
from idmap.adapters.sql.engine import make_engine
from idmap.adapters.sql.restore import Given, RestoreReport, RestoreRequest, restore
from idmap.application.ports import Author, Progress
from idmap.application.published_issues import read_published
from idmap.domain.errors import IdmapError
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.cli.host_options import Config
from idmap.entrypoints.cli.output import moment
from idmap.entrypoints.clock import system_clock
from idmap.entrypoints.settings import SERVICE_FILE, ServiceSettings, load_service_settings
from idmap.entrypoints.sign.state import SignerState

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
        place = load_service_settings(config).registry
        for finding in check_database(place.url, place.marks_directory):
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


@app.command("backup")
def backup_command(
    out: Annotated[Path, typer.Argument(help="A new file, made with mode 0600.")],
    config: Config = SERVICE_FILE,
    as_json: AsJson = False,
) -> None:
    """Write one consistent copy of the registry, while the service runs, and read it back.

    The file holds everything: people, numbers, policy, digests of credentials and the realm's salt. Keep it as you
    keep the database. It does not hold the signing keys, which 'idmap sign' keeps.
    """
    with explained("idmap db backup"):
        settings = load_service_settings(config)
        engine = make_engine(settings.registry.url)
        try:
            made = write_backup(
                engine, out, realm=settings.realm, at=system_clock(), progress=_progress()
            )
        finally:
            engine.dispose()
    if as_json:
        document = {
            "file": str(out),
            "made_at": made.made_at,
            "size": made.size,
            "revision": made.revision,
            "changes": made.changes,
            "rows": dict(made.rows),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    accounts, size = made.rows["accounts"], made.size / 1024
    typer.echo(
        f"{out}: {accounts} accounts, {made.changes} changes, revision {made.revision}; {size:.0f} KiB, verified"
    )


@app.command("restore")
def restore_command(
    backup: Annotated[Path, typer.Argument(help="A file that 'idmap db backup' wrote.")],
    config: Config = SERVICE_FILE,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be restored and lost.")
    ] = False,
    another_realm: Annotated[
        bool, typer.Option("--another-realm", help="The backup is another realm's; that is meant.")
    ] = False,
    node_revision: Annotated[
        int, typer.Option("--node-revision", min=0, help="The highest that any node has installed.")
    ] = 0,
    node_ban_counter: Annotated[
        int,
        typer.Option(
            "--node-ban-counter", min=0, help="The highest ban counter that any node has."
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the registry's place. Stop the service first; nodes may run on.

    Nothing issued since the backup is issued to others again: names, numbers, revision and ban counter go on above
    what this host, the published snapshot and the signer know. Whoever had an account since gets the same one again.
    The database that was here is kept beside the new one. What is refused changes nothing.
    """
    with explained("idmap db restore"):
        settings = load_service_settings(config)
        request = RestoreRequest(
            backup=backup,
            realm=settings.realm,
            author=Author(_operator(), reason),
            at=system_clock(),
            dry_run=dry_run,
            another_realm=another_realm,
        )
        place = settings.registry
        given = _given(settings)
        given = replace(
            given,
            revision=max(given.revision, node_revision),
            ban_counter=max(given.ban_counter, node_ban_counter),
        )
        report = restore(place.url, request, given, _progress(), place.marks_directory)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, **asdict(report)}, indent=2))
        return
    for line in _lines(report, dry_run=dry_run):
        typer.echo(line)


def _operator() -> str:
    """Who types this, as the system knows them."""
    number = os.getuid()
    try:
        return f"os-user:{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"os-user:{number}"


def _given(settings: ServiceSettings) -> Given:
    """What the snapshot store and the signer know; each is left out when it cannot be read, and that is said."""
    published = read_published(DirectorySnapshotStore(settings.snapshot.directory))
    notes = []
    if published.realm is None:
        notes.append(f"no published snapshot in {settings.snapshot.directory}")
    if published.unreadable:
        notes.append(f"{published.unreadable} parts of published snapshots could not be read")
    try:
        signed = SignerState(settings.sign.keys_directory / "signer-state.json").before
    except IdmapError as error:
        return Given(published, notes=(*notes, f"the signer's memory: {error.detail}"))
    return Given(published, signed.revision, signed.ban_counter, tuple(notes))


def _lines(report: RestoreReport, *, dry_run: bool) -> Iterator[str]:
    made = "an unknown time" if report.made_at is None else moment(report.made_at)
    yield f"{'Would restore' if dry_run else 'Restored'} the state of {made}, {report.backup_changes} changes."
    lost = "an unknown number of" if report.lost_changes is None else str(report.lost_changes)
    yield f"Lost: {lost} changes, {report.lost_accounts} accounts, {report.lost_groups} groups."
    if report.lost_accounts or report.lost_groups:
        yield "      Their names and numbers go to nobody else; whoever had one gets it again at the next login or run."
    if report.bans_carried or report.credentials_revoked:
        yield (
            f"Carried over: {report.bans_carried} bans, {report.credentials_revoked} revoked credentials."
        )
    if report.bans_of_lost_accounts:
        yield (
            f"Ban again: {report.bans_of_lost_accounts} banned accounts are lost, nothing here says whose they were."
        )
    if report.bans_of_unknown_tokens:
        yield (
            f"Ban again: {report.bans_of_unknown_tokens} banned tokens, of which nothing here says more than a digest."
        )
    yield f"Revision {report.revision}, ban counter {report.ban_counter}: above what any node has."
    for note in report.notes:
        yield f"note  {note}"
    if report.kept_aside is not None:
        yield f"The database that was here is {report.kept_aside}."
    if not dry_run:
        yield "Next: start the service. If it publishes fewer accounts than before, the signer asks for approval."


def _progress() -> Progress:
    """On a terminal, one line that changes; else nothing."""

    def tell(what: str, done: int, total: int | None) -> None:
        if sys.stderr.isatty():
            of = "" if total is None else f" {done}/{total}"
            sys.stderr.write(f"\r\033[K{what}{of}" if what else "\r\033[K")
            sys.stderr.flush()

    return tell
