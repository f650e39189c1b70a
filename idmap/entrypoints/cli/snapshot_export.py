"""`idmap snapshot export`: a posix.db in the forms that other programs read.

For containers and static programs (passwd and group text), for hosts that run libnss-cache, for systemd's userdb.
Everything is read and checked before the first file is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer

from idmap.adapters.posix_export.directory import write_files
from idmap.adapters.posix_export.nss_cache import nss_cache_files
from idmap.adapters.posix_export.text import group_text, passwd_text
from idmap.adapters.posix_export.userdb import Link, userdb_files
from idmap.adapters.posix_reader.reader import PosixFile
from idmap.domain.posix_entries import Entries
from idmap.entrypoints.cli.failures import explained


class ExportFormat(StrEnum):
    """What `--format` takes."""

    PASSWD = "passwd"  # noqa: S105 -- the name of a file
    GROUP = "group"
    NSS_CACHE = "nss-cache"
    USERDB = "userdb"


def export_command(
    file: Annotated[Path, typer.Argument(help="A posix.db.", exists=True, dir_okay=False)],
    formats: Annotated[
        list[ExportFormat], typer.Option("--format", help="What to write; may be repeated.")
    ],
    out: Annotated[Path, typer.Option(help="The directory to write into.", file_okay=False)],
) -> None:
    """Write a posix.db as passwd(5) or group(5) text, as libnss-cache's files, or as systemd userdb records.

    Text carries no state, no dates and no node class: whoever is refused keeps name and number there. For userdb the
    directory must be empty. Nothing is written when one entry cannot be carried.
    """
    with explained("idmap snapshot export"):
        entries = PosixFile(file).entries()
        files: dict[str, bytes | Link] = {}
        for chosen in formats:
            files.update(_files(chosen, entries))
        write_files(out, files, into_empty=ExportFormat.USERDB in formats)
    typer.echo(
        f"{len(entries.users)} accounts and {len(entries.groups)} groups of revision {entries.revision}: {out}"
    )


def _files(chosen: ExportFormat, entries: Entries) -> Mapping[str, bytes | Link]:
    match chosen:
        case ExportFormat.PASSWD:
            return {"passwd": passwd_text(entries)}
        case ExportFormat.GROUP:
            return {"group": group_text(entries)}
        case ExportFormat.NSS_CACHE:
            return nss_cache_files(entries)
        case ExportFormat.USERDB:
            return userdb_files(entries)
        case _:
            assert_never(chosen)
