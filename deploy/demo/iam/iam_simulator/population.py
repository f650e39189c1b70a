"""The populations that come with the simulator: a dozen named people, or any number of generated ones.

`small` is a cast: each person is there for one case a provisioner must get right (see the table in the README).
A generated population depends on its size and seed alone. Neither reads the clock.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

from .directory import Directory
from .records import EPOCH, OPTIONAL_GROUP_LABEL, SITE_OFFSET, Person, person_id
from .specs import (
    CertificateSpec,
    GroupSpec,
    LabelSpec,
    OidcIdSpec,
    PersonSpec,
    PopulationSpec,
    SamlIdSpec,
    populate,
    read_population,
)

PAST = datetime(2025, 6, 30, 23, 59, 59, tzinfo=SITE_OFFSET)
FUTURE = datetime(2099, 12, 31, 23, 59, 59, tzinfo=SITE_OFFSET)
SIGNED = datetime(2025, 1, 15, 9, 30, tzinfo=SITE_OFFSET)

LARGEST_POPULATION = 100_000
# Beyond this the start takes longer than a test should wait.

LONG_USERNAME = "a" * 300
LOOKALIKE_USERNAME = "\u0430lice"
# Cyrillic a (U+0430) and then "lice": looks like alice, is somebody else.

HOSTILE_USERNAMES = ("root", "slurm", "ubuntu", "../x", LONG_USERNAME, LOOKALIKE_USERNAME)
# Names that IAM's own rule would mostly refuse, but that an import or an older instance can hold.

PROJECTS = tuple(
    f"demo/projects/{name}"
    for name in (
        "atmospheric-chemistry",
        "climate-ensembles",
        "dark-matter-search",
        "earthquake-early-warning",
        "lattice-qcd",
        "neutrino-oscillations",
        "protein-folding",
        "turbulence-modelling",
    )
)
# Together long enough to bring erin's token with groups above 1,023 bytes.

SMALL = PopulationSpec(
    groups=(
        GroupSpec(path="demo", description="The demonstration VO"),
        GroupSpec(path="demo/compute", description="May submit CPU jobs"),
        GroupSpec(path="demo/gpu"),
        GroupSpec(path="demo/gpu/debug"),
        GroupSpec(path="demo/admins", labels=(LabelSpec(name=OPTIONAL_GROUP_LABEL),)),
        GroupSpec(path="demo/empty", labels=(LabelSpec(prefix="site", name="tier", value="2"),)),
        GroupSpec(path="demo/hostile"),
        *(GroupSpec(path=path) for path in PROJECTS),
    ),
    people=(
        PersonSpec(
            username="alice",
            family_name="Adams",
            email="alice@example.org",
            aup_signature_time=SIGNED,
            ssh_key=True,
            oidc_ids=(OidcIdSpec(issuer="https://idp.example.org/", subject="alice-1"),),
            certificates=(
                CertificateSpec(subject="CN=Alice Adams,O=Example", issuer="CN=Example CA"),
            ),
            attributes={"nickname": "al"},
            groups=("demo/compute", "demo/gpu", "demo/admins"),
        ),
        PersonSpec(
            username="bob",
            family_name="Baker",
            aup_signature_time=SIGNED,
            saml_ids=(SamlIdSpec(idp="https://saml.example.org", attribute="eppn", value="bob@x"),),
            groups=("demo/compute",),
        ),
        PersonSpec(username="carol", aup_signature_time=SIGNED, groups=("demo/gpu/debug",)),
        PersonSpec(username="dave", aup_signature_time=SIGNED, groups=("demo",)),
        PersonSpec(
            username="erin",
            aup_signature_time=SIGNED,
            ssh_key=True,
            groups=("demo/compute", "demo/gpu", *PROJECTS),
        ),
        PersonSpec(username="frank", active=False, groups=("demo/compute",)),
        PersonSpec(username="grace", end_time=PAST, groups=("demo/compute",)),
        PersonSpec(username="heidi"),
        PersonSpec(username="ivan", extension=False, groups=("demo/compute",)),
        PersonSpec(username="judy", service_account=True, groups=("demo/compute",)),
        PersonSpec(username="niaj@partner.example", groups=("demo/compute",)),
        PersonSpec(username="olivia", end_time=FUTURE, groups=("demo/gpu",)),
        *(
            PersonSpec(username=name, given_name="Mallory", groups=("demo/hostile",))
            for name in HOSTILE_USERNAMES
        ),
    ),
)

_GIVEN_NAMES = ("Ada", "Ben", "Chen", "Dina", "Emil", "Fatou", "Goran", "Hana", "Ines", "João")
_FAMILY_NAMES = ("Abe", "Brown", "Costa", "Diallo", "Evans", "Fischer", "Garcia", "Hansen", "Ito")

_PEOPLE_PER_PROJECT = 200
# A usual size of a collaboration's sub-group.


def build_directory(population: str, seed: int) -> Directory:
    """The directory for `--population`: `small`, a number of people, or the path of a JSON file.

    Raises `ValueError` for a number out of range, `OSError` or `pydantic.ValidationError` for a bad file.
    """
    directory = Directory()
    if population == "small":
        populate(SMALL, directory, EPOCH)
    elif population.isdecimal():
        _generate(int(population), seed, directory)
    else:
        populate(read_population(Path(population)), directory, EPOCH)
    return directory


def _generate(size: int, seed: int, directory: Directory) -> None:
    """Create `user000000` and following: 95 % in `demo`, of those 60 % in compute and 20 % in gpu."""
    if size > LARGEST_POPULATION:
        raise ValueError(f"a population has at most {LARGEST_POPULATION} people")
    chance = random.Random(seed)  # noqa: S311 - a repeatable population, not a secret
    compute = directory.add_group("demo/compute")
    gpu = directory.add_group("demo/gpu")
    demo = directory.get_group("demo")
    projects = [
        directory.add_group(f"demo/projects/p{number:04d}")
        for number in range(size // _PEOPLE_PER_PROJECT + 1)
    ]
    for number in range(size):
        username = f"user{number:06d}"
        created = EPOCH + timedelta(seconds=number)
        person = Person(
            id=person_id(username),
            username=username,
            given_name=chance.choice(_GIVEN_NAMES),
            family_name=chance.choice(_FAMILY_NAMES),
            email=f"{username}@example.org",
            created=created,
            last_modified=created,
            active=chance.random() >= 0.02,
            end_time=PAST if chance.random() < 0.01 else None,
            aup_signature_time=SIGNED,
        )
        directory.add_person(person)
        if chance.random() >= 0.95:
            continue
        directory.join(person, demo)
        if chance.random() < 0.6:
            directory.join(person, compute)
        if chance.random() < 0.2:
            directory.join(person, gpu)
        directory.join(person, chance.choice(projects))
