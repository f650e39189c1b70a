"""`idmap snapshot compile`: posix.db from passwd and group text, without any service.

Nothing is repaired: a line that cannot be carried is refused by its number. Records go to the compiler sorted, groups
by gid number and users by uid number, whatever the order of the files. The file has no not-after, because nobody will
renew it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from idmap.application.install_view import (
    GroupRecord,
    PosixView,
    UserRecord,
    compiler_input,
    merge,
)
from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.member_lists import MemberLists, MemberPolicy
from idmap.domain.numbers import (
    FIRST_NUMBER,
    HARD_HOLE,
    LAST_NUMBER,
    NumberRange,
    RangePurpose,
    check_range,
)
from idmap.domain.posix import Windows, check_record
from idmap.domain.reasons import Reason
from idmap.entrypoints.settings import NodeFileSettings

_COMPILER: Final = NodeFileSettings().compiler
_LEGAL: Final = ((FIRST_NUMBER, HARD_HOLE[0] - 1), (HARD_HOLE[1] + 1, LAST_NUMBER))
"""The two runs of numbers that any account or group may have."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of passwd or group text."""

    place: str
    fields: list[str]


def compile_command(
    passwd: Annotated[Path, typer.Option(help="Accounts, in the form of passwd(5).", exists=True)],
    group: Annotated[Path, typer.Option(help="Groups, in the form of group(5).", exists=True)],
    out: Annotated[Path, typer.Option(help="The posix.db to write or replace.")],
    window: Annotated[
        list[str] | None,
        typer.Option(
            help="Allowed numbers, 'uid:FIRST-LAST' or 'gid:FIRST-LAST'; may be repeated. "
            "Without any: what the files use, within the legal numbers."
        ),
    ] = None,
    members: Annotated[
        MemberPolicy,
        typer.Option(
            help="Member lists: full, or empty for groups with more than --members-above."
        ),
    ] = MemberPolicy.FULL,
    members_above: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="With '--members empty': the most members that a group shows; 0 withholds every list.",
        ),
    ] = None,
    compiler: Annotated[
        Path, typer.Option(help="The idmap-compile program.", envvar="IDMAP_COMPILER")
    ] = _COMPILER,
) -> None:
    """Compile passwd and group files into a posix.db that the NSS module reads.

    Numbers below 1000, 60001-65535 and from 2147483648 up, names of the system and root-equivalent groups are refused,
    naming the line. Members of groups become secondary groups of accounts, also where the list itself is withheld. The
    file never expires.
    """
    try:
        lists = MemberLists(members, members_above)
        text = convert(passwd, group, window or [], lists, revision=1, created=int(time.time()))
        done = subprocess.run(  # noqa: S603 -- the operator names the program
            [str(compiler), "posix", "--in", "-", "--out", str(out)], input=text, check=False
        )
    except IdmapError as error:
        typer.echo(f"idmap snapshot: {error.detail} [{error.reason}]", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"idmap snapshot: {compiler}: {error.strerror}", err=True)
        raise typer.Exit(3) from None
    raise typer.Exit(done.returncode)


def convert(
    passwd: Path,
    group: Path,
    window_texts: list[str],
    lists: MemberLists,
    *,
    revision: int,
    created: int,
) -> bytes:
    """The compiler's input. Raises InvalidInput naming file and line."""
    accounts, groups = _lines(passwd, 7), _lines(group, 4)
    windows = _windows(window_texts, accounts, groups)
    group_records, gids_of = _groups(groups, windows)
    users = []
    for line in accounts:
        name, _, uid, gid, gecos, home, shell = line.fields
        head = "\t".join(
            ("user", name, uid, gid, "active", "0", "0", home or "/", shell or "/bin/sh", gecos)
        )
        secondary = tuple(sorted(gids_of.pop(name, set()) - {_number(line, gid)}))
        _check(line, f"{head}\t{','.join(map(str, secondary))}", windows)
        users.append(UserRecord(name, _number(line, uid), _number(line, gid), secondary, head))
    for name in sorted(gids_of):
        typer.echo(f"idmap snapshot: {group}: member {name!r} is no account; left out", err=True)
    view = merge([PosixView(tuple(group_records), tuple(users))])
    return compiler_input(
        view,
        windows,
        revision=revision,
        created=created,
        not_after=0,
        members_withheld=lists.withheld(user.secondary for user in view.users),
    )


def _groups(lines: list[Line], windows: Windows) -> tuple[list[GroupRecord], dict[str, set[int]]]:
    records = []
    gids_of: dict[str, set[int]] = {}
    for line in lines:
        name, _, gid, members = line.fields
        _check(line, f"group\t{name}\t{gid}", windows)
        records.append(GroupRecord(name, _number(line, gid)))
        for member in filter(None, (text.strip() for text in members.split(","))):
            gids_of.setdefault(member, set()).add(int(gid))
    return records, gids_of


def _lines(path: Path, width: int) -> list[Line]:
    try:
        texts = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(Reason.REQUEST_INVALID, f"{path}: {error}") from None
    lines = []
    for number, text in enumerate(texts, start=1):
        if not text.strip() or text.startswith("#"):
            continue
        line = Line(f"{path}:{number}", text.split(":"))
        if len(line.fields) != width or not text.isprintable():
            raise InvalidInput(Reason.REQUEST_INVALID, f"{line.place}: {width} fields are needed")
        lines.append(line)
    return lines


def _windows(texts: list[str], accounts: list[Line], groups: list[Line]) -> Windows:
    if texts:
        return Windows(uid=_given(texts, "uid"), gid=_given(texts, "gid"))
    gids = [_number(line, line.fields[2]) for line in groups]
    gids += [_number(line, line.fields[3]) for line in accounts]
    return Windows(uid=_used(_number(line, line.fields[2]) for line in accounts), gid=_used(gids))


def _used(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    found = list(numbers)
    runs = ([n for n in found if first <= n <= last] for first, last in _LEGAL)
    return tuple((min(run), max(run)) for run in runs if run)


def _given(texts: list[str], kind: str) -> tuple[tuple[int, int], ...]:
    runs = []
    for text in texts:
        name, _, run = text.partition(":")
        first, _, last = run.partition("-")
        if name not in {"uid", "gid"} or not (first.isdecimal() and last.isdecimal()):
            raise InvalidInput(
                Reason.REQUEST_INVALID, f"--window {text!r}: 'uid:FIRST-LAST' or 'gid:FIRST-LAST'"
            )
        if name == kind:
            check_range(NumberRange(text, RangePurpose.PEOPLE, int(first), int(last)), ())
            runs.append((int(first), int(last)))
    return tuple(runs)


def _number(line: Line, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidInput(Reason.NUMBER_REFUSED, f"{line.place}: {text[:20]!r} is no number")
    return int(text)


def _check(line: Line, record: str, windows: Windows) -> None:
    try:
        check_record(record, windows)
    except InvalidInput as error:
        raise InvalidInput(error.reason, f"{line.place}: {error.detail}") from None
