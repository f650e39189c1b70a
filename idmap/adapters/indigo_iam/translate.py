"""What INDIGO IAM says, as records of our own: tolerant of what may be missing, strict about identifiers.

Pure. IAM drops empty values, so any list and the whole extension may be absent; group extensions print
nulls; older versions have no user extension (research: iam-provisioning §2.2, 2.x). A record whose `id` reads but
whose other fields do not is kept, with the problem said (law 6: present and unchanged); a record without a
readable `id` spoils the listing it is in. It does *not* decide whether a listing is complete: `source` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

from idmap.domain.errors import InvalidInput, SourceFailed
from idmap.domain.facts import FactKind, attribute, email_domain, is_readable_fact, label
from idmap.domain.groups import MAX_PATH
from idmap.domain.identity import Subject, parse_subject
from idmap.domain.linking import LinkedId, LinkedIdKind
from idmap.domain.reasons import Reason
from idmap.domain.spelling import MAX_FACT, NO_SPELLING, Spelling, local_part

USER_EXTENSION: Final = "urn:indigo-dc:scim:schemas:IndigoUser"

MAX_TOTAL: Final = 5_000_000
"""More members than any community has; above it the number is an error, not a size to reserve for."""

_MAX_ID: Final = 255
_MAX_LINKED: Final = 1024
"""Longer than any issuer, entity id or distinguished name in use."""

_KEPT_LINKED: Final = 32
"""So many linked ids of one person are kept: more than people have, and a bound on what a source can make us store."""

MOST_FACTS: Final = 64
"""Labels, or attributes, of one person: many more than people have, and a bound on what a source can make us store. Of
more, none can be left out without saying something false of the person: the record then counts as unread."""

TOLD: Final = frozenset({FactKind.LABEL, FactKind.ATTRIBUTE, FactKind.EMAIL_DOMAIN})
"""What IAM tells of its people beside groups: `find/bygroup` and `/scim/Users/{id}` print the same record. Labels and
attributes are in it where IAM's configuration lists them (`scim.include_labels`, `scim.include_attributes`)."""

_KEPT_USER_NAME: Final = 256
"""INDIGO IAM stores at most 128 characters. A longer one spells no username anyhow; it is cut, not refused."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of any list that IAM gives."""

    total: int
    rows: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A group as IAM keeps it: the uuid is its identity, the path may be renamed."""

    uuid: str
    path: str
    """Full path without a leading slash; empty when IAM's record does not say it readably."""


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """One person as IAM describes them. `subject` is the record's `id`, which is the `sub` of their tokens."""

    subject: Subject
    active: bool
    preferred_username: str | None
    group_uuids: frozenset[str]
    robot: bool = False
    """A service account (INDIGO IAM 1.11 and later say so)."""
    spelling: Spelling = NO_SPELLING
    """Lenient: what does not read as expected spells nothing."""
    linked_ids: tuple[LinkedId, ...] = ()
    """Who IAM says they are too: evidence, and never more."""
    facts: tuple[tuple[FactKind, str], ...] = ()
    """Of the kinds that were asked for; sorted, each once."""
    problem: str | None = None
    """Names the field that could not be read; the other members then mean nothing."""


def parse_page(body: object, *, start: int) -> Page:
    """A page asked for from `start` (1-based). Raises SourceFailed(SOURCE_INCOMPLETE).

    A page that counts its rows wrongly, or is another page than the one asked for, has lost something.
    """
    document = _document(body)
    total = document.get("totalResults")
    if type(total) is not int or not 0 <= total <= MAX_TOTAL:
        raise _incomplete("a list without a usable totalResults")
    rows = document.get("Resources")
    if rows is None and total == 0:
        rows = []  # an empty list may be dropped
    if not isinstance(rows, list):
        raise _incomplete("a list without Resources")
    counted = document.get("itemsPerPage")
    if type(counted) is int and counted != len(rows):
        raise _incomplete(f"a page that promises {counted} records and holds {len(rows)}")
    echoed = document.get("startIndex")
    if type(echoed) is int and rows and echoed != start:
        raise _incomplete(f"the page from {echoed} instead of the one from {start}")
    return Page(total, tuple(rows))


def find_group(body: object, path: str) -> GroupRef | None:
    """The group of exactly this path in an answer of `find/byname`; None when there is none.

    An absent group is answered with 200, an empty list and no `totalResults`.
    """
    rows = _document(body).get("Resources") or []
    if not isinstance(rows, list):
        raise _incomplete("a group look-up without a list")
    found = [group for group in map(parse_group_row, rows) if group.path == path]
    if len({group.uuid for group in found}) > 1:
        raise _incomplete(f"several groups with the path {path}")
    return found[0] if found else None


def parse_group_row(row: object) -> GroupRef:
    """One group of a list. Raises SourceFailed(SOURCE_INCOMPLETE) when its id does not read."""
    record = row if isinstance(row, dict) else {}
    uuid, path = record.get("id"), record.get("displayName")
    if not _is_id(uuid):
        raise _incomplete("a group without a readable id")
    return GroupRef(uuid, path if isinstance(path, str) and len(path) <= MAX_PATH else "")


def parse_member_row(row: object) -> Subject:
    """The id in one row of `/scim/Groups/{uuid}/members`. Raises SourceFailed(SOURCE_INCOMPLETE)."""
    return _subject(row.get("value") if isinstance(row, dict) else None)


def parse_person(row: object, at: int, facts: frozenset[FactKind] = frozenset()) -> PersonRecord:
    """One user record, judged at time `at`, with the `facts` that are asked for. Raises
    SourceFailed(SOURCE_INCOMPLETE) when its id does not read."""
    record = row if isinstance(row, dict) else {}
    subject = _subject(record.get("id"))
    try:
        ended = _ended(record, at)
        return PersonRecord(
            subject=subject,
            active=_active(record) and not ended,
            preferred_username=_user_name(record),
            group_uuids=_group_uuids(record),
            robot=_service_account(record),
            spelling=_spelling(record),
            linked_ids=_linked_ids(record),
            facts=tuple(sorted(set(_facts(record, facts)))),
        )
    except _Unreadable as error:
        return PersonRecord(subject, False, None, frozenset(), problem=str(error))


class _Unreadable(Exception):
    """A field other than the id; `str()` names it and never repeats its value."""


def _active(row: Mapping[str, Any]) -> bool:
    active = row.get("active")
    if type(active) is not bool:
        raise _Unreadable("active is not true or false")
    return active


def _user_name(row: Mapping[str, Any]) -> str:
    name = row.get("userName")
    if not isinstance(name, str) or not name or not name.isprintable():
        raise _Unreadable("userName is not a name")
    return name[:_KEPT_USER_NAME]


def _spelling(row: Mapping[str, Any]) -> Spelling:
    """Personal name and mail address (RFC 7643 §4.1); they spell and mean nothing else, so nothing here is an error."""
    name = row.get("name")
    parts = name if isinstance(name, dict) else {}
    return Spelling(
        email=local_part(_address(row.get("emails"))),
        given=_fact(parts.get("givenName")),
        family=_fact(parts.get("familyName")),
    )


def _address(emails: object) -> str | None:
    """The primary address, or the first."""
    rows = [e for e in emails if isinstance(e, dict)] if isinstance(emails, list) else []
    rows.sort(key=lambda e: e.get("primary") is not True)
    return _fact(rows[0].get("value")) if rows else None


def _fact(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_FACT else None


def find_path(row: object, uuid: str) -> str | None:
    """The path that a person's record gives for one of their groups; None when it does not say."""
    groups = row.get("groups") if isinstance(row, dict) else None
    for group in groups if isinstance(groups, list) else []:
        if isinstance(group, dict) and group.get("value") == uuid:
            path = group.get("display")
            return path if isinstance(path, str) and 0 < len(path) <= MAX_PATH else None
    return None


def _group_uuids(row: Mapping[str, Any]) -> frozenset[str]:
    groups = row.get("groups")
    if groups is None:
        return frozenset()
    if not isinstance(groups, list):
        raise _Unreadable("groups is not a list")
    values = [group.get("value") if isinstance(group, dict) else None for group in groups]
    readable = [value for value in values if _is_id(value)]
    if len(readable) != len(values):
        raise _Unreadable("groups holds an entry without an id")
    return frozenset(readable)


def _extension(row: Mapping[str, Any]) -> Mapping[str, Any]:
    extension = row.get(USER_EXTENSION)
    if extension is None:
        return {}
    if not isinstance(extension, dict):
        raise _Unreadable("the IndigoUser extension is not an object")
    return extension


def _service_account(row: Mapping[str, Any]) -> bool:
    """Absent or null is a person: versions before service accounts have none."""
    said = _extension(row).get("serviceAccount")
    if said is not None and type(said) is not bool:
        raise _Unreadable("serviceAccount is not true or false")
    return said is True


_LINKED: Final = (
    (LinkedIdKind.OIDC, "oidcIds", "issuer", "subject"),
    (LinkedIdKind.SAML, "samlIds", "idpId", "userId"),
    (LinkedIdKind.CERTIFICATE, "certificates", "issuerDn", "subjectDn"),
)
"""Where IAM keeps linked ids, and the two members that are one. Of certificates the names, never a PEM body."""


def _linked_ids(row: Mapping[str, Any]) -> tuple[LinkedId, ...]:
    """Sorted, each once. They decide nothing, so one that does not read is no reason to leave a person unread."""
    found = set()
    for kind, member, issuer, subject in _LINKED:
        listed = _extension(row).get(member)
        for one in listed if isinstance(listed, list) else ():
            said = (one.get(issuer), one.get(subject)) if isinstance(one, dict) else ()
            if said and all(map(_is_linked_id, said)):
                found.add(LinkedId(kind, *map(str, said)))
    return tuple(sorted(found)[:_KEPT_LINKED])


def _facts(row: Mapping[str, Any], wanted: frozenset[FactKind]) -> Iterator[tuple[FactKind, str]]:
    """Facts decide, so one that does not read leaves the person unread; what nobody asks for is not looked at."""
    if FactKind.LABEL in wanted:
        for prefix, name, value in _listed(row, "labels", ("prefix", "name", "value")):
            yield FactKind.LABEL, _readable("labels", label(name, value, prefix))
    if FactKind.ATTRIBUTE in wanted:
        for name, value in _listed(row, "attributes", ("name", "value")):
            yield FactKind.ATTRIBUTE, _readable("attributes", attribute(name, value))
    domain = email_domain(_address(row.get("emails")) or "")
    if FactKind.EMAIL_DOMAIN in wanted and domain is not None:
        yield FactKind.EMAIL_DOMAIN, domain


def _listed(
    row: Mapping[str, Any], member: str, parts: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """The parts of each entry of a list of the extension; absent and null are an empty text, but for the name."""
    listed = _extension(row).get(member)
    if listed is None:
        return
    if not isinstance(listed, list) or len(listed) > MOST_FACTS:
        raise _Unreadable(f"{member} is not a list of at most {MOST_FACTS}")
    for one in listed:
        said = one if isinstance(one, dict) else {}
        texts = tuple("" if said.get(part) is None else said[part] for part in parts)
        if not all(isinstance(text, str) for text in texts) or not said.get("name"):
            raise _Unreadable(f"{member} holds an entry without a name, or not of text")
        yield texts


def _readable(member: str, text: str) -> str:
    if not is_readable_fact(text):
        raise _Unreadable(f"{member} holds an entry that is too long, or not printable")
    return text


def _ended(row: Mapping[str, Any], at: int) -> bool:
    """Whether the membership's end is past; IAM itself waits a week before it says `active: false`."""
    end = _extension(row).get("endTime")
    if end is None:
        return False
    try:
        # A time without an offset cannot be compared (TypeError): unreadable, not guessed.
        return datetime.fromisoformat(end) <= datetime.fromtimestamp(at, tz=UTC)
    except (TypeError, ValueError, OverflowError):
        raise _Unreadable("endTime is not a time with an offset") from None


def _subject(value: object) -> Subject:
    try:
        return parse_subject(value)
    except InvalidInput as error:
        raise _incomplete("a person without a readable id") from error


def _is_linked_id(value: object) -> bool:
    """Printable: no database takes a lone surrogate or a NUL."""
    return isinstance(value, str) and 1 <= len(value) <= _MAX_LINKED and value.isprintable()


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 1 <= len(value) <= _MAX_ID


def _document(body: object) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise _incomplete("an answer that is not an object")
    return body


def _incomplete(what: str) -> SourceFailed:
    return SourceFailed(Reason.SOURCE_INCOMPLETE, f"INDIGO IAM gave {what}")
