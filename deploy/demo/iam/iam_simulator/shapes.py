"""IAM's JSON: users, groups, members and lists as SCIM 1.12 prints them.

Rules kept here: a user's empty values and lists are dropped, but the parts of a label or an attribute print their
nulls, as a group's extension does; `displayName` of a user copies the username, of a group is the path, and a
group never lists members. PEM bodies appear on single reads only. Pure functions over records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .directory import Directory
from .records import Certificate, Group, Label, Person, SshKey

Json = dict[str, Any]

USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
INDIGO_USER_SCHEMA = "urn:indigo-dc:scim:schemas:IndigoUser"
INDIGO_GROUP_SCHEMA = "urn:indigo-dc:scim:schemas:IndigoGroup"
LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"

SEARCH_ATTRIBUTES = frozenset(
    {"id", "displayName", "meta", "name", "userName", "active", "emails", "groups"}
)
# INDIGO IAM: all that `/iam/account/search` shows of a user.

ALWAYS_SHOWN = frozenset({"schemas", "id"})
# What SCIM keeps when `attributes` asks for less.

_PEM = "-----BEGIN CERTIFICATE-----\nc2ltdWxhdGVkLCBub3QgYSBjZXJ0aWZpY2F0ZQ==\n-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Draughtsman:
    """Draws records as JSON. `base_url` has no trailing slash; the flags are IAM's configuration."""

    directory: Directory
    base_url: str
    include_labels: bool = False
    include_attributes: bool = False

    def user(self, person: Person, *, single: bool = False) -> Json:
        """A user. `single` adds what IAM shows on a single read only."""
        groups = self.directory.list_groups_of(person)
        schemas = [USER_SCHEMA, INDIGO_USER_SCHEMA] if person.has_extension else [USER_SCHEMA]
        drawn = {
            "schemas": schemas,
            "id": person.id,
            "meta": self._meta("User", "Users", person),
            "userName": person.username,
            "displayName": person.username,
            "name": {
                "givenName": person.given_name,
                "familyName": person.family_name,
                "formatted": person.full_name,
            },
            "active": person.active,
            "emails": [{"type": "work", "value": person.email, "primary": True}],
            "groups": [self._group_reference(group) for group in groups],
        }
        if person.has_extension:
            drawn[INDIGO_USER_SCHEMA] = self._extension(person, single=single)
        kept: Json = _without_empty(drawn)
        if person.has_extension:
            kept.setdefault(INDIGO_USER_SCHEMA, {}).update(self._configured(person))
        return kept

    def group(self, group: Group) -> Json:
        """A group, without members. Its extension prints nulls."""
        parent = self.directory.find_group_by_id(group.parent) if group.parent else None
        return {
            "schemas": [GROUP_SCHEMA, INDIGO_GROUP_SCHEMA],
            "id": group.id,
            "meta": self._meta("Group", "Groups", group),
            "displayName": group.path,
            INDIGO_GROUP_SCHEMA: {
                "parentGroup": None if parent is None else self._group_reference(parent),
                "description": group.description,
                "labels": [_label(label) for label in group.labels],
            },
        }

    def member(self, person: Person) -> Json:
        """A member reference: the full name, but neither username nor whether active."""
        return {
            "value": person.id,
            "display": person.full_name,
            "$ref": f"{self.base_url}/scim/Users/{person.id}",
        }

    def subgroup(self, group: Group) -> Json:
        """A reference to a child group."""
        return self._group_reference(group)

    def _group_reference(self, group: Group) -> Json:
        return {
            "value": group.id,
            "display": group.path,
            "$ref": f"{self.base_url}/scim/Groups/{group.id}",
        }

    def _meta(self, kind: str, collection: str, record: Person | Group) -> Json:
        return {
            "created": instant(record.created),
            "lastModified": instant(record.last_modified),
            "location": f"{self.base_url}/scim/{collection}/{record.id}",
            "resourceType": kind,
        }

    def _extension(self, person: Person, *, single: bool) -> Json:
        drawn: Json = {
            "sshKeys": [_ssh_key(key, person.created) for key in person.ssh_keys],
            "oidcIds": [{"issuer": issuer, "subject": sub} for issuer, sub in person.oidc_ids],
            "samlIds": [
                {"idpId": idp, "attributeId": attribute, "userId": value}
                for idp, attribute, value in person.saml_ids
            ],
            "certificates": [
                _certificate(one, person.created, is_primary=index == 0, single=single)
                for index, one in enumerate(person.certificates)
            ],
            "aupSignatureTime": _optional_instant(person.aup_signature_time),
            "endTime": _optional_instant(person.end_time),
            "serviceAccount": person.service_account,
        }
        return drawn

    def _configured(self, person: Person) -> Json:
        """What IAM shows of a person only where its configuration says so. Empty lists are dropped."""
        drawn: Json = {}
        if self.include_labels and person.labels:
            drawn["labels"] = [_label(label) for label in person.labels]
        if self.include_attributes and person.attributes:
            drawn["attributes"] = [
                {"name": name, "value": value} for name, value in person.attributes
            ]
        return drawn


def list_response(rows: Sequence[Json], *, total: int, start_index: int) -> Json:
    """The envelope of a SCIM list. `itemsPerPage` is the size of this page."""
    return {
        "schemas": [LIST_SCHEMA],
        "totalResults": total,
        "itemsPerPage": len(rows),
        "startIndex": start_index,
        "Resources": list(rows),
    }


def totals_only(total: int) -> Json:
    """The answer to `count=0` where IAM allows it."""
    return {"schemas": [LIST_SCHEMA], "totalResults": total, "Resources": []}


def single_response(row: Json | None) -> Json:
    """The answer of a find by name: one row, or an empty list *without* `totalResults`."""
    if row is None:
        return {"schemas": [LIST_SCHEMA], "Resources": []}
    return {
        "schemas": [LIST_SCHEMA],
        "totalResults": 1,
        "itemsPerPage": 10,
        "startIndex": 1,
        "Resources": [row],
    }


def only(drawn: Json, names: Iterable[str]) -> Json:
    """The named top-level attributes of a resource."""
    wanted = set(names)
    return {name: value for name, value in drawn.items() if name in wanted}


def instant(moment: datetime) -> str:
    """ISO 8601 with milliseconds and an offset, as IAM prints times."""
    return moment.isoformat(timespec="milliseconds")


def _optional_instant(moment: datetime | None) -> str | None:
    return None if moment is None else instant(moment)


def _ssh_key(key: SshKey, added: datetime) -> Json:
    return {
        "display": key.display,
        "primary": True,
        "fingerprint": key.fingerprint,
        "value": key.value,
        "created": instant(added),
        "lastModified": instant(added),
    }


def _certificate(
    certificate: Certificate, added: datetime, *, is_primary: bool, single: bool
) -> Json:
    return {
        "primary": is_primary,
        "display": certificate.display,
        "subjectDn": certificate.subject,
        "issuerDn": certificate.issuer,
        "pemEncodedCertificate": _PEM if single else None,
        "created": instant(added),
        "lastModified": instant(added),
        "hasProxyCertificate": False,
    }


def _label(label: Label) -> Json:
    return {"prefix": label.prefix, "name": label.name, "value": label.value}


def _without_empty(value: Any) -> Any:
    """`value` with nulls, empty texts, lists and objects left out, at every depth."""
    if isinstance(value, dict):
        kept = {name: _without_empty(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in (None, "", [], {})}
    if isinstance(value, list):
        return [_without_empty(inner) for inner in value]
    return value
