"""Each single thing of the admin door: how it is found, what a GET of it answers, and so its `ETag`.

A route that shows the thing and the routes that change it use the same function, so `If-Match` can only be about
what was shown.
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote

from idmap.application.account_named import find_account
from idmap.application.ports import CredentialKind, RegistryReader
from idmap.application.questions import BanQuestion
from idmap.domain.accounts import Account
from idmap.domain.errors import InvalidInput, NotFound
from idmap.domain.identity import Issuer
from idmap.entrypoints.http.answers import One
from idmap.entrypoints.http.changing import Given, Resource
from idmap.entrypoints.http.conditions import EntityTag, Representation
from idmap.entrypoints.http.documents import (
    BanDocument,
    EvidenceDocument,
    OneAccountDocument,
    OneGroupDocument,
    RecordedDocument,
    ban_document,
    evidence_document,
    listed_group_document,
    one_account_document,
    recorded_document,
)
from idmap.entrypoints.http.machine_documents import (
    ComponentDocument,
    NodeDocument,
    component_document,
    node_document,
)
from idmap.entrypoints.http.policy_documents import IssuerDocument, issuer_document
from idmap.entrypoints.http.request_documents import identity_from
from idmap.entrypoints.http.rule_documents import PinDocument, RulesDocument, pin_document

D = TypeVar("D")


def show(resource: Resource[D], reader: RegistryReader, given: Given) -> One[D]:
    """The answer to a GET of one thing, with its `ETag`. Raises NotFound."""
    found = resource(reader, given)
    if found is None:
        named = " ".join([*given.path.values(), *given.query.values()])
        raise NotFound(f"{named[:100]!r}")
    return One(found.document, headers={"ETag": str(found.tag)})


def account(reader: RegistryReader, given: Given) -> Representation[OneAccountDocument] | None:
    """`/v1/accounts/{name}`: with identities and bans."""
    found = find_account(reader, given.path["name"])
    if found is None:
        return None
    return Representation.of(shown_account(reader, found), f"/v1/accounts/{found.username}")


def shown_account(reader: RegistryReader, found: Account) -> OneAccountDocument:
    """As its own page shows it."""
    identities = reader.identities_of(found.account_id)
    bans = reader.page_of_bans(BanQuestion(account_id=found.account_id), limit=1000)
    return one_account_document(found, identities, bans.items)


def group(reader: RegistryReader, given: Given) -> Representation[OneGroupDocument] | None:
    """`/v1/groups/{name}`: by name or by gid number, with the accounts that hold it as a secondary group."""
    found = reader.find_group(given.path["name"])
    if found is None:
        return None
    federated, posix = found
    document: OneGroupDocument = {
        **listed_group_document(found),
        "id": reader.group_ids().get(federated),
        "members": list(reader.members_of(federated)),
    }
    return Representation.of(document, f"/v1/groups/{posix.name}")


def identity(reader: RegistryReader, given: Given) -> Representation[RecordedDocument] | None:
    """`/v1/identities?issuer=…&subject=…`; one never seen has no groups and no account.

    What changes an identity may name it in the body instead, as `{"identity": {"issuer": …, "subject": …}}`.
    """
    named = given.query
    if "subject" not in named and isinstance(given.body, dict):
        inner = given.body.get("identity")
        named = inner if isinstance(inner, dict) else given.body
    issuer, subject = named.get("issuer"), named.get("subject")
    if not isinstance(issuer, str) or not isinstance(subject, str):
        return None
    try:
        wanted = identity_from(issuer, subject)
    except InvalidInput:
        return None
    return Representation.of(
        recorded_document(reader.recorded(wanted)),
        f"/v1/identities?issuer={quote(issuer, safe='')}&subject={quote(subject, safe='')}",
    )


def issuer(reader: RegistryReader, given: Given) -> Representation[IssuerDocument] | None:
    """`/v1/issuers?issuer=…`: the profile. A PUT names the issuer in the body."""
    wanted = given.query.get("issuer")
    if wanted is None and isinstance(given.body, dict):
        wanted = given.body.get("issuer")
    for profile in reader.issuers():
        if profile.issuer == wanted:
            return Representation.of(
                issuer_document(profile), f"/v1/issuers?issuer={quote(Issuer(wanted), safe='')}"
            )
    return None


def rules(reader: RegistryReader, given: Given) -> Representation[RulesDocument] | None:
    """`/v1/rules`, or one version of them: a version never changes, so it is its own tag. Which one is in force may
    change beside it."""
    asked = given.path.get("version")
    in_force = reader.rules().version
    if asked is None:
        version, document = reader.rules_document() or (0, None)
        location = "/v1/rules"
    else:
        found = reader.rules_document(int(asked))
        if found is None:
            return None
        version, document = found
        location = f"/v1/rules/versions/{version}"
    answer: RulesDocument = {
        "version": version,
        "document": None if document is None else dict(document),
        "in_force": in_force,
    }
    same = version == in_force
    tag = str(version) if same and asked is None else f"{version}-of-{in_force}"
    return Representation(answer, location, EntityTag(tag))


def rules_pin(reader: RegistryReader, _given: Given) -> Representation[PinDocument]:
    """`/v1/rules/pin`: there is always one to show, pinned or not."""
    newest = (reader.rules_document() or (0, None))[0]
    return Representation.of(pin_document(reader.rules_pin(), newest), "/v1/rules/pin")


def ban(reader: RegistryReader, given: Given) -> Representation[BanDocument] | None:
    """`/v1/bans/{ban_id}`, until it is lifted."""
    found = reader.find_ban(int(given.path["ban_id"]))
    if found is None:
        return None
    return Representation.of(ban_document(found), f"/v1/bans/{found.ban_id}")


def evidence(reader: RegistryReader, given: Given) -> Representation[EvidenceDocument] | None:
    """`/v1/links/evidence/{evidence_id}`: its tag changes when somebody else lays the same claim."""
    found = reader.find_evidence(int(given.path["evidence_id"]))
    if found is None:
        return None
    return Representation.of(evidence_document(found), f"/v1/links/evidence/{found.evidence_id}")


def node(reader: RegistryReader, given: Given) -> Representation[NodeDocument] | None:
    """`/v1/nodes/{name}` of an enrolled node: its tag changes with each of its reports."""
    found = reader.find_node(given.path["name"])
    if found is None:
        return None
    document = node_document(found, reader.revision(), reader.ban_counter())
    return Representation.of(document, f"/v1/nodes/{quote(found.name, safe='')}")


def component(reader: RegistryReader, given: Given) -> Representation[ComponentDocument] | None:
    """`/v1/components/{name}` with a credential in force."""
    found = reader.find_machine(CredentialKind.COMPONENT, given.path["name"])
    if found is None:
        return None
    return Representation.of(
        component_document(found), f"/v1/components/{quote(found.name, safe='')}"
    )
