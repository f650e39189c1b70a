"""`idmap snapshot verify`, `show` and `diff`: what stands in a posix.db, read by its documented layout.

These need no service and no root. They tell what a file says, not whether it is what was signed: on a node
`idmap-agent verify` does that.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from idmap.adapters.posix_reader.check import check_posix_file, mapping_notes
from idmap.adapters.posix_reader.reader import PosixFile
from idmap.domain.compare_entries import Changed, Difference, compare
from idmap.domain.errors import NotFound
from idmap.domain.posix_entries import GroupEntry, UserEntry
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.cli.output import Answer, as_fields, moment, show

_File = Annotated[Path, typer.Argument(help="A posix.db.", exists=True, dir_okay=False)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def verify_command(file: _File, as_json: _Json = False) -> None:
    """Check every invariant of a posix.db: header, windows, records, indexes, members. Ends with 1 when one is broken.

    Where the file lies and whom it belongs to is only noted. Whether it is what was signed, 'idmap-agent verify' tells.
    """
    with explained("idmap snapshot verify"):
        findings, notes = check_posix_file(file), mapping_notes(file)
    if as_json:
        rows = [asdict(finding) for finding in findings]
        document = {"ok": not findings, "findings": rows, "notes": list(notes)}
        typer.echo(json.dumps(document, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.place}: {_plain(finding.detail)}", err=True)
        for note in notes:
            typer.echo(f"note: nodes would not read it where it is: {note}", err=True)
        if not findings:
            typer.echo(f"{file}: every invariant holds.")
    raise typer.Exit(1 if findings else 0)


def show_command(
    file: _File,
    user: Annotated[
        str | None, typer.Argument(help="One account, by username or uid number.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="One group, by name or gid number, with its members.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show what a posix.db says: of itself, of one account or of one group."""
    with explained("idmap snapshot show"):
        posix = PosixFile(file)
        if user is not None:
            answer = _user_answer(posix, user)
        elif group is not None:
            answer = _group_answer(posix, group)
        else:
            answer = _file_answer(posix)
    show(answer, as_json=as_json)


def diff_command(
    before: Annotated[
        Path, typer.Argument(metavar="A", help="The posix.db before.", exists=True, dir_okay=False)
    ],
    after: Annotated[
        Path, typer.Argument(metavar="B", help="The posix.db after.", exists=True, dir_okay=False)
    ],
    as_json: _Json = False,
) -> None:
    """Show what changed from one posix.db to another: accounts, groups, fields, memberships."""
    with explained("idmap snapshot diff"):
        old, new = PosixFile(before).entries(), PosixFile(after).entries()
    difference = compare(old, new)
    if as_json:
        document = {
            "revisions": [old.revision, new.revision],
            "same": difference.is_empty(),
            **asdict(difference),
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=True))
    else:
        typer.echo(f"revision {old.revision} to {new.revision}")
        lines = difference_lines(difference)
        typer.echo("\n".join(lines) if lines else "Nothing differs.")


def difference_lines(difference: Difference) -> list[str]:
    """One line for each thing that was added (+), removed (-) or changed (~)."""
    lines = [f"+ group {g.name} ({g.gid_number})" for g in difference.groups_added]
    lines += [f"- group {g.name} ({g.gid_number})" for g in difference.groups_removed]
    for group in difference.groups_changed:
        lines += _change_lines("group", group)
    lines += [f"+ user {u.username} ({u.uid_number})" for u in difference.users_added]
    lines += [f"- user {u.username} ({u.uid_number})" for u in difference.users_removed]
    for user in difference.users_changed:
        lines += _change_lines("user", user)
    return lines


def _change_lines(kind: str, changed: Changed) -> list[str]:
    lines = [f"~ {kind} {changed.name} ({changed.number})"]
    for change in changed.fields:
        before, after = (_field_text(change.field, v) for v in (change.before, change.after))
        lines.append(f"    {change.field}: {before} -> {after}")
    lines += [f"    + in {name}" for name in changed.joined]
    lines += [f"    - in {name}" for name in changed.left]
    return lines


def _field_text(field: str, value: str) -> str:
    return _day(int(value)) or "none" if field.endswith("_day") else _plain(value) or "''"


def _file_answer(posix: PosixFile) -> Answer:
    header = posix.header
    document: dict[str, Any] = {
        "revision": header.revision,
        "created": header.created,
        "not_after": header.not_after or None,
        "users": header.users,
        "groups": header.groups,
        "uid_windows": [list(window) for window in header.uid_windows],
        "gid_windows": [list(window) for window in header.gid_windows],
        "superseded": bool(header.superseded),
    }
    fields = [
        ("revision", header.revision),
        ("created", _moment(header.created)),
        ("not after", _moment(header.not_after) if header.not_after else "never"),
        ("users", header.users),
        ("groups", header.groups),
        ("uid windows", [f"{first}-{last}" for first, last in header.uid_windows]),
        ("gid windows", [f"{first}-{last}" for first, last in header.gid_windows]),
        ("superseded", bool(header.superseded)),
    ]
    return as_fields(document, fields)


def _user_answer(posix: PosixFile, key: str) -> Answer:
    user = posix.find_user_by_number(int(key)) if _is_number(key) else posix.find_user(key)
    if user is None:
        raise NotFound(f"no account {key[:64]!r} in this file")
    groups = {gid: _group_name(posix, gid) for gid in (user.gid_number, *user.secondary)}
    document = asdict(user) | {
        "last_day": _day(user.last_day) or None,
        "grace_day": _day(user.grace_day) or None,
        "primary_group": groups[user.gid_number],
        "secondary_groups": [groups[gid] for gid in user.secondary],
    }
    return as_fields(document, _user_fields(user, groups))


def _user_fields(user: UserEntry, groups: dict[int, str]) -> list[tuple[str, object]]:
    return [
        ("username", user.username),
        ("uid number", user.uid_number),
        ("primary group", f"{groups[user.gid_number]} ({user.gid_number})"),
        ("secondary groups", [f"{groups[gid]} ({gid})" for gid in user.secondary]),
        ("gecos", user.gecos),
        ("home", user.home),
        ("shell", user.shell),
        ("state", str(user.state)),
        ("last day", _day(user.last_day)),
        ("last day of grace", _day(user.grace_day)),
        ("on this node", "refused: for other node classes" if user.elsewhere else "admitted"),
        ("by key", "refused: a token is demanded" if user.token_only else "admitted"),
    ]


def _group_answer(posix: PosixFile, key: str) -> Answer:
    group = posix.find_group_by_number(int(key)) if _is_number(key) else posix.find_group(key)
    if group is None:
        raise NotFound(f"no group {key[:64]!r} in this file")
    return as_fields(asdict(group), _group_fields(group))


def _group_fields(group: GroupEntry) -> list[tuple[str, object]]:
    return [
        ("name", group.name),
        ("gid number", group.gid_number),
        ("members", "withheld" if group.members_withheld else group.members),
    ]


def _group_name(posix: PosixFile, gid_number: int) -> str:
    group = posix.find_group_by_number(gid_number)
    return group.name if group else "?"


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) <= 10 and int(key) < 2**32


def _day(day: int) -> str:
    """A day for people; empty for none."""
    if not day:
        return ""
    try:
        return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
    except OverflowError:
        return f"day {day}"


def _moment(seconds: int) -> str:
    try:
        datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return f"second {seconds}"
    return moment(seconds)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)
