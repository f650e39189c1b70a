"""`idmap snapshot`: every subcommand is registered here; each group of them lives in a module of its own."""

from __future__ import annotations

import typer

from idmap.entrypoints.cli import (
    snapshot_compile,
    snapshot_export,
    snapshot_files,
    snapshot_published,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Snapshots: compile from plain files, look into a posix.db, export it, see what is published.",
)

app.command("compile")(snapshot_compile.compile_command)
app.command("verify")(snapshot_files.verify_command)
app.command("show")(snapshot_files.show_command)
app.command("diff")(snapshot_files.diff_command)
app.command("export")(snapshot_export.export_command)
app.command("status")(snapshot_published.status_command)
app.command("publish")(snapshot_published.publish_command)
