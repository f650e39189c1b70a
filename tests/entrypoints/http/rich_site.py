"""A site on which something of everything has happened, and the names by which each of it is asked for."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from idmap.application.ports import (
    CredentialKind,
    ListedPerson,
    Listing,
    RunRecord,
)
from idmap.domain.differences import Difference, DifferenceKind
from idmap.domain.doors import ADMIN, API
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuer_document import profile_document
from idmap.domain.linking import LinkedId, LinkedIdKind
from idmap.domain.numbers import ForeignNumber, NumberKind
from idmap.domain.roles import Role
from idmap.domain.secrets import Secret
from tests.entrypoints.http.roles_site import subject_of
from tests.entrypoints.http.site import (
    ADMINISTRATOR,
    NOW,
    PORTAL,
    RULES,
    SETUP,
    SSH,
    Clock,
    Site,
    furnish,
    make_site,
    open_site,
    token_of,
    trusted,
)
from tests.support.postgresql import make_postgresql_registry
from tests.support.tokens import ISSUER, FakeIssuerKeys, public_jwk

OTHER: Final = "https://other.example/"
VERIFIER: Final = "idmap-test-verifier-" + "0123456789" * 4
RICH_RULES: Final[Mapping[str, Any]] = {
    **RULES,
    "format": 2,
    "classes": {
        **RULES["classes"],
        "course": {**RULES["classes"]["users"], "approval": "required"},
    },
    "rules": [
        *RULES["rules"],
        {"id": "course", "issuer": ISSUER, "group": "course", "class": "course"},
        {
            "id": "staff",
            "effect": "add",
            "issuer": ISSUER,
            "group": "hpc",
            "node_classes": ["staff"],
            "when": {"labels": {"any": ["staff"]}},
        },
    ],
    "admins": [
        *({**admin, "role": "site-admin"} for admin in RULES["admins"]),
        *(
            {
                "role": str(role),
                "issuer": ISSUER,
                "subject": subject_of(role),
                **({"manages": ["hpc"]} if role is Role.GROUP_MANAGER else {}),
            }
            for role in Role
        ),
    ],
}
CHUNK: Final = b"a chunk"
HPC: Final = Group(Issuer(ISSUER), "hpc")
MEMBERS: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "ivan")
WAITING: Final = ("gina", "hugo")


class SomebodyElse:
    """Something on the site that uses a number of ours."""

    def find_in_use(self, kind: NumberKind, first: int, last: int) -> Iterable[ForeignNumber]:
        """One that nobody here has."""
        number = ForeignNumber(NumberKind.UID, 200_090, "foreign", "nss")
        return (number,) if kind is number.kind and first <= number.number <= last else ()


@contextmanager
def rich_site(directory: Path) -> Iterator[Site]:
    """A copy of it, without its event stream."""
    shutil.copytree(_template(), directory, dirs_exist_ok=True)
    with open_site(directory) as site:
        yield _with_all(site)


def _with_all(site: Site) -> Site:
    """With what a service has beside its registry."""
    site.secrets["verifier"] = VERIFIER
    running = site.app.state.running
    parts = replace(
        running.parts,
        keys=FakeIssuerKeys((public_jwk("rsa", "k1"),)),
        site_numbers=(SomebodyElse(),),
    )
    site.app.state.running = replace(running, parts=parts)
    return site


def issued(site: Site) -> dict[str, str]:
    """Every credential that the fuzz shows, by name; what opens an entrance and what does not."""
    return {
        "admin key": site.secrets["bootstrap"],
        "component": site.secrets["portal"],
        "verifier": VERIFIER,
        "node": site.secrets["login1"],
        "revoked node": site.secrets["gone1"],
        "person": site.token("alice"),
        "newcomer": site.token("zoe"),
        "administrator": site.token(ADMINISTRATOR, ADMIN),
        **{str(role): site.token(subject_of(role), ADMIN) for role in Role},
        "stranger at the admin door": site.token("mallory", ADMIN),
        "token of another door": site.token("alice", SSH),
        "nonsense": "idmap-adm-nonsense",
    }


_KEY: Final = ("admin key", "admin key", "admin key")
OPENS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("nonsense",),
    "administrator": (
        *_KEY,
        "administrator",
        *(name for role in Role for name in (*_KEY, str(role))),
    ),
    "component": ("verifier", "verifier", "component"),
    "node": ("node",),
    "token": ("person", "newcomer"),
}
"""In turn, by the name of OpenAPI's security scheme; the first for operations that ask for none. A role that may not is
refused, and that answer keeps to the document too.
"""
MANAGES: Final = (*(str(Role.GROUP_MANAGER),) * 3, "admin key")
"""Instead, where group managers have doors of their own."""


def openers(scheme: str, path: str) -> tuple[str, ...]:
    """The credentials for an operation."""
    return MANAGES if path.startswith("/v1/managed") else OPENS[scheme]


def known() -> Mapping[str, list[Any]]:
    """What is there to be named: bodies by operation, parameters by operation, kind of thing, or place."""
    token = token_of("alice", PORTAL)
    identity = {"issuer": ISSUER, "subject": "bob"}
    second = token_of("work", API, iss=OTHER)
    return {
        "POST /v1/accounts/{name}/restore path name": ["erin"],
        "POST /v1/accounts/{name}/approve path name": list(WAITING),
        "POST /v1/links/evidence/{evidence_id}/approve path evidence_id": [5, 1],
        "POST /v1/managed/members/{name}/restore path name": ["ivan"],
        "/v1/managed path name": ["alice", "bob"],
        "/v1/accounts path name": ["alice", "erin", "frank", "gina", "200001", "dave"],
        "/v1/groups path name": ["lab", "hpc", "300000"],
        "/v1/nodes path name": ["login1", "gpu1"],
        "/v1/components path name": ["portal", "gate"],
        "/v1/ranges path name": ["people"],
        "path account": ["alice", "bob"],
        "path ban_id": [1, 2, 3],
        "path version": [1, 2, 0],
        "path other": [2, 1, 9],
        "query accept_loss": [100],
        "query expect_version": [2, 1],
        "path evidence_id": [1, 2, 3],
        "path sha256": [hashlib.sha256(CHUNK).hexdigest()],
        "query issuer": [ISSUER, OTHER],
        "query subject": ["alice", "work"],
        "query account": ["alice", "erin"],
        "query group": ["hpc"],
        "query rule": ["members"],
        "query class": ["users", "login"],
        "query prefix": ["a"],
        "query search": ["li"],
        "query door": ["api", "ssh:login", "component:portal"],
        "query after": ["1", "alice", "1:1:not_in_token"],
        "query author": ["test"],
        "query name": ["people"],
        "query since": ["2026-01-01T00:00:00Z", 1700000000],
        "header Idmap-Reason": ["a test"],
        "POST /v1/resolve": [{"token": token, "door": str(PORTAL)}],
        "POST /v1/me/links": [{"token": second}, {"token": second, "issuer": OTHER}],
        "POST /v1/nodes/self/keys": [{"issuer": ISSUER, "kid": "k1"}],
        "POST /v1/nodes/self/introspect": [
            {"token": token_of("alice", SSH), "door": "ssh:login"},
            {"token": "not-a-token", "door": "ssh:login"},
        ],
        "POST /v1/nodes/self/report": [{"revision": 3, "ban_counter": 1, "masked": ["daemon"]}],
        "PUT /v1/issuers": [
            profile_document(trusted()),
            profile_document(trusted(issuer=Issuer("https://new.example/"))),
            profile_document(trusted(required_assurance=frozenset({"loa"}))),
        ],
        "PUT /v1/rules": [dict(RICH_RULES), dict(RULES)],
        "POST /v1/rules/test": [
            {"document": dict(RULES)},
            {"document": dict(RULES), "identity": identity},
            {"document": dict(RULES), "people": True, "effect": "loses", "limit": 1},
            {"token": token, "door": str(PORTAL)},
            {},
        ],
        "POST /v1/rules/rollback": [{"version": 1}],
        "PUT /v1/rules/pin": [{"version": 1}],
        "POST /v1/ranges": [
            {"name": "robots", "purpose": "robots", "first": 210000, "last": 210099}
        ],
        "POST /v1/bans": [
            {"account": "carol"},
            {"identity": identity, "until": "2040-01-01T00:00:00Z"},
        ],
        "POST /v1/groups": [{"name": "lab2"}],
        "POST /v1/groups/{name}/members": [{"account": "bob"}],
        "POST /v1/groups/rebind": [{"issuer": ISSUER, "path": "hpc", "id": "new"}],
        "POST /v1/nodes": [{"name": "login9", "node_class": "login"}],
        "POST /v1/components": [{"name": "hub", "doors": ["api", "gate"]}],
        "POST /v1/accounts/{name}/identities": [{"issuer": OTHER, "subject": "play"}],
        "POST /v1/explain": [
            {"token": token, "door": str(PORTAL)},
            {"identity": identity},
            {"account": "erin", "door": "api"},
        ],
    }


@cache
def _template() -> Path:
    """Set up once per run, by the service's own routes where there is one."""
    kept = tempfile.TemporaryDirectory(prefix="idmap-test-rich-site-")
    atexit.register(kept.cleanup)
    directory = Path(kept.name)
    made = make_site(directory)
    _enrich(next(made))
    next(made, None)
    return directory


@contextmanager
def rich_postgresql_site(directory: Path) -> Iterator[Site]:
    """The same on PostgreSQL; it takes its time."""
    registry = make_postgresql_registry(Clock())
    furnish(registry, Clock())
    with open_site(directory, registry) as site, site.client:
        _enrich(site)
        yield _with_all(site)


def _enrich(site: Site) -> None:
    with site.registry.write(SETUP) as writer:
        writer.save_issuer(trusted(issuer=Issuer(OTHER), record_groups_from_tokens=False))
        writer.save_rules(RICH_RULES, expect_version=None)
        writer.add_credential(
            CredentialKind.COMPONENT,
            "verifier",
            Secret(VERIFIER).sha256(),
            node_class=None,
            doors=(str(SSH), str(PORTAL)),
            at=NOW,
        )
        writer.save_run(RunRecord("run-1", NOW, NOW + 1, "applied", None, {"changes": []}))
        writer.save_run(RunRecord("run-2", NOW, None, "running", None, None))
    for name in MEMBERS:
        assert site.newcomer(name).status_code == 202
    for name in WAITING:
        assert site.newcomer(name, groups=["course"]).status_code == 202
    with site.registry.write(SETUP) as writer:
        writer.record_listing(_listing())
        writer.pin_rules(2)
        writer.save_differences(
            [
                Difference(Identity(Issuer(ISSUER), Subject(name)), HPC, kind, NOW, NOW)
                for name, kind in zip(MEMBERS, DifferenceKind, strict=False)
            ]
        )
        writer.add_ban(account_id=2, identity=None, reason="an old one", until=NOW - 1, at=NOW - 9)
    for path, body in (
        ("/v1/accounts/erin/suspend", {}),
        ("/v1/accounts/frank/close", {}),
        ("/v1/groups", {"name": "lab"}),
        ("/v1/groups/lab/members", {"account": "alice"}),
        ("/v1/bans", {"account": "dave"}),
        ("/v1/bans", {"identity": {"issuer": ISSUER, "subject": "mallory"}}),
        ("/v1/nodes", {"name": "gpu1", "node_class": "gpu"}),
        ("/v1/accounts/alice/identities", {"issuer": OTHER, "subject": "mine"}),
    ):
        answer = site.ask("POST", path, "bootstrap", json=body)
        assert answer.status_code in {200, 201}, (path, answer.text)
    report = {"revision": 1, "ban_counter": 0, "masked": ["daemon"]}
    assert site.ask("POST", "/v1/nodes/self/report", "login1", json=report).status_code == 200
    held = site.ask(
        "POST",
        "/v1/managed/members/ivan/suspend",
        site.token(subject_of(Role.GROUP_MANAGER), ADMIN),
        json={},
    )
    assert held.status_code == 200, held.text
    site.publish()
    for restricted in (False, True):
        site.store.put_chunk(CHUNK, restricted=restricted)


def _listing() -> Listing:
    """Alice, bob and carol are said to be other people too; one claim is made twice."""
    same = LinkedId(LinkedIdKind.OIDC, OTHER, "same")
    people = [
        *((name, (same, LinkedId(LinkedIdKind.SAML, "urn:idp", name))) for name in MEMBERS[:2]),
        ("carol", (LinkedId(LinkedIdKind.OIDC, OTHER, "carols"),)),
    ]
    return Listing(
        "iam",
        Issuer(ISSUER),
        frozenset({HPC}),
        tuple(
            ListedPerson(
                Identity(Issuer(ISSUER), Subject(name)),
                frozenset({HPC}),
                active=True,
                preferred_username=name,
                linked_ids=linked,
                facts=frozenset({Fact(Issuer(ISSUER), FactKind.LABEL, "staff")}),
            )
            for name, linked in (*people, *((name, ()) for name in MEMBERS[3:]))
        ),
        began=NOW,
        group_ids={HPC: "id-of-hpc"},
    )
