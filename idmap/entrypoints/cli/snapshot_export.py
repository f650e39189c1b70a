"""`idmap snapshot export`: a posix.db in the forms that other programs read.

For containers and static programs (passwd and group text), for hosts that run libnss-cache, for systemd's userdb.
Everything is read and checked before the first file is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, assert_never

import typer

from idmap.adapters.posix_export.directory import write_files
from idmap.adapters.posix_export.nss_cache import nss_cache_files
from idmap.adapters.posix_export.text import group_text, passwd_text
from idmap.adapters.posix_export.userdb import Link, userdb_files
from idmap.adapters.posix_reader.reader import PosixFile
from idmap.domain.posix_entries import Entries
from idmap.entrypoints.cli.failures import explained

SHOWN: Final = 5
"""Names of groups in a line for people."""


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

    Text carries no state, no dates and no node class: whoever is refused keeps name and number there. A group whose
    member list is withheld has no members in any format, and standard error says so. For userdb the directory must be
    empty. Nothing is written when one entry cannot be carried.
    """
    with explained("idmap snapshot export"):
        entries = PosixFile(file).entries()
        files: dict[str, bytes | Link] = {}
        for chosen in formats:
            files.update(_files(chosen, entries))
        write_files(out, files, into_empty=ExportFormat.USERDB in formats)
    if set(formats) != {ExportFormat.PASSWD}:
        _tell_withheld(entries)
    typer.echo(
        f"{len(entries.users)} accounts and {len(entries.groups)} groups of revision {entries.revision}: {out}"
    )


def _tell_withheld(entries: Entries) -> None:
    """Once, on standard error, because no format has a place for it."""
    names = entries.names_withheld()
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        typer.echo(
            f"idmap snapshot export: the member list is withheld of {', '.join(names[:SHOWN])}{more}; "
            "the export puts nobody into it as a secondary group",
            err=True,
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
