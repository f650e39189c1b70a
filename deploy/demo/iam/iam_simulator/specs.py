"""How people and groups are described in a population file and in control requests.

Unknown keys are refused. A description becomes a record in `enrol` and `found_group`; nothing else builds records
from outside input.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from .directory import Directory, NameTaken
from .records import Certificate, Group, Label, Person, PersonId, demo_ssh_key, person_id


class Spec(BaseModel):
    """Base of everything read from outside: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelSpec(Spec):
    """A label of a group or a person."""

    name: str
    prefix: str | None = None
    value: str | None = None

    def record(self) -> Label:
        """The label as `Directory` keeps it."""
        return Label(self.name, self.prefix, self.value)


class GroupSpec(Spec):
    """A group; missing ancestors are created with it."""

    path: str = Field(min_length=1, max_length=512)
    id: str | None = None
    description: str | None = None
    labels: tuple[LabelSpec, ...] = ()


class OidcIdSpec(Spec):
    """An identity of a person at an upstream OpenID Connect provider."""

    issuer: str
    subject: str


class SamlIdSpec(Spec):
    """An identity of a person at an upstream SAML provider."""

    idp: str
    attribute: str
    value: str


class CertificateSpec(Spec):
    """A certificate of a person, by its names only."""

    subject: str
    issuer: str
    display: str = "certificate"


class PersonSpec(Spec):
    """A person. `groups` are paths; ancestors follow by IAM's rule. Names default to something readable."""

    username: str = Field(min_length=1)
    id: str | None = None
    given_name: str | None = None
    family_name: str = "Example"
    email: str | None = None
    active: bool = True
    end_time: AwareDatetime | None = None
    aup_signature_time: AwareDatetime | None = None
    service_account: bool = False
    extension: bool = True
    ssh_key: bool = False
    oidc_ids: tuple[OidcIdSpec, ...] = ()
    saml_ids: tuple[SamlIdSpec, ...] = ()
    certificates: tuple[CertificateSpec, ...] = ()
    labels: tuple[LabelSpec, ...] = ()
    attributes: dict[str, str | None] = Field(default_factory=dict)
    groups: tuple[str, ...] = ()


class PopulationSpec(Spec):
    """A whole instance: what `--population FILE.json` holds."""

    groups: tuple[GroupSpec, ...] = ()
    people: tuple[PersonSpec, ...] = ()


def read_population(path: Path) -> PopulationSpec:
    """Parse a population file. Raises `pydantic.ValidationError` or `OSError`."""
    return PopulationSpec.model_validate_json(path.read_bytes())


def populate(spec: PopulationSpec, directory: Directory, created: datetime) -> None:
    """Create all groups, then all people, as described."""
    for group in spec.groups:
        found_group(group, directory)
    for person in spec.people:
        enrol(person, directory, created)


def found_group(spec: GroupSpec, directory: Directory) -> Group:
    """Create a group as described. Raises `NameTaken`."""
    labels = tuple(label.record() for label in spec.labels)
    return directory.add_group(spec.path, uuid=spec.id, description=spec.description, labels=labels)


def enrol(spec: PersonSpec, directory: Directory, created: datetime) -> Person:
    """Create a person and their memberships. Raises `NameTaken`, or `UnknownRecord` before anything is changed.

    Without an `id` the UUID follows from the username; somebody enrolled under a username that was used before and
    deleted should be given another `id`, as IAM would.
    """
    groups = [directory.get_group(path) for path in spec.groups]
    if directory.find_person_by_username(spec.username) is not None:
        raise NameTaken(f"person {spec.username[:64]!r} exists")
    person = Person(
        id=PersonId(spec.id) if spec.id else person_id(spec.username),
        username=spec.username,
        given_name=spec.given_name or spec.username[:64].capitalize(),
        family_name=spec.family_name,
        email=spec.email or f"{person_id(spec.username)[:8]}@example.org",
        created=created,
        last_modified=created,
        active=spec.active,
        end_time=spec.end_time,
        aup_signature_time=spec.aup_signature_time,
        service_account=spec.service_account,
        has_extension=spec.extension,
        ssh_keys=(demo_ssh_key(spec.username),) if spec.ssh_key else (),
        oidc_ids=tuple((one.issuer, one.subject) for one in spec.oidc_ids),
        saml_ids=tuple((one.idp, one.attribute, one.value) for one in spec.saml_ids),
        certificates=tuple(
            Certificate(one.display, one.subject, one.issuer) for one in spec.certificates
        ),
        labels=tuple(label.record() for label in spec.labels),
        attributes=tuple(spec.attributes.items()),
    )
    directory.add_person(person)
    for group in groups:
        directory.join(person, group)
    return person
