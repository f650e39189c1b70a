"""Changes to the directory that a demo, a test or a fault may order.

`ACTIONS` is the table; a change names one of them and the records it touches. The same changes work
at once (`POST /simulator/changes`) and in the middle of somebody's crawl (a fault with `drift`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime

from .directory import Directory
from .specs import LabelSpec, Spec

Action = Literal[
    "join",
    "leave",
    "activate",
    "deactivate",
    "delete",
    "set_end_time",
    "set_labels",
    "set_attributes",
    "rename_group",
]


class Change(Spec):
    """One change. `person` is a username or UUID, `group` a path or UUID. `labels` and `attributes` are all that the
    person has afterwards."""

    action: Action
    person: str | None = None
    group: str | None = None
    end_time: AwareDatetime | None = None
    path: str | None = None
    labels: tuple[LabelSpec, ...] | None = None
    attributes: dict[str, str | None] | None = None


def apply_change(change: Change, directory: Directory, now: datetime) -> None:
    """Make the change. Raises `UnknownRecord`, `NameTaken`, or `ValueError` for a missing field."""
    ACTIONS[change.action](change, directory, now)


def _join(change: Change, directory: Directory, now: datetime) -> None:
    person = directory.get_person(_needed(change.person, "person"))
    directory.join(person, directory.get_group(_needed(change.group, "group")))
    person.last_modified = now


def _leave(change: Change, directory: Directory, now: datetime) -> None:
    person = directory.get_person(_needed(change.person, "person"))
    directory.leave(person, directory.get_group(_needed(change.group, "group")))
    person.last_modified = now


def _activate(change: Change, directory: Directory, now: datetime) -> None:
    directory.set_active(directory.get_person(_needed(change.person, "person")), True, now)


def _deactivate(change: Change, directory: Directory, now: datetime) -> None:
    directory.set_active(directory.get_person(_needed(change.person, "person")), False, now)


def _delete(change: Change, directory: Directory, _now: datetime) -> None:
    directory.remove_person(directory.get_person(_needed(change.person, "person")))


def _set_end_time(change: Change, directory: Directory, now: datetime) -> None:
    person = directory.get_person(_needed(change.person, "person"))
    person.end_time = change.end_time
    person.last_modified = now


def _set_labels(change: Change, directory: Directory, now: datetime) -> None:
    person = directory.get_person(_needed(change.person, "person"))
    if change.labels is None:
        raise ValueError("this action needs labels")
    person.labels = tuple(label.record() for label in change.labels)
    person.last_modified = now


def _set_attributes(change: Change, directory: Directory, now: datetime) -> None:
    person = directory.get_person(_needed(change.person, "person"))
    if change.attributes is None:
        raise ValueError("this action needs attributes")
    person.attributes = tuple(change.attributes.items())
    person.last_modified = now


def _rename_group(change: Change, directory: Directory, now: datetime) -> None:
    group = directory.get_group(_needed(change.group, "group"))
    directory.rename_group(group, _needed(change.path, "path"))
    group.last_modified = now


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise ValueError(f"this action needs {name}")
    return value


ACTIONS: dict[Action, Callable[[Change, Directory, datetime], None]] = {
    "join": _join,
    "leave": _leave,
    "activate": _activate,
    "deactivate": _deactivate,
    "delete": _delete,
    "set_end_time": _set_end_time,
    "set_labels": _set_labels,
    "set_attributes": _set_attributes,
    "rename_group": _rename_group,
}
