"""The JSON that the routes give about machines and the record: nodes, components, changes, runs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from idmap.application.ports import ChangeEntry, MachineCredential, NodeStatus, RunRecord
from idmap.entrypoints.http.answers import Count, Seconds, exact
from idmap.entrypoints.http.documents import Next

MachineSecret = Annotated[str, Field(description="Here and nowhere else; idmap keeps its digest.")]


@exact
class NodeDocument(TypedDict):
    """What a node reported, beside what it should have."""

    name: str
    node_class: str
    revision: Count
    ban_counter: Count
    reported: Seconds | None
    masked: list[str]
    current: bool


def node_document(node: NodeStatus, revision: int, ban_counter: int) -> NodeDocument:
    """Compared with the revision and ban counter of now."""
    return {
        "name": node.name,
        "node_class": node.node_class,
        "revision": node.revision,
        "ban_counter": node.ban_counter,
        "reported": node.reported,
        "masked": list(node.masked),
        "current": node.reported is not None
        and node.revision >= revision
        and node.ban_counter >= ban_counter,
    }


@exact
class NodesPage(TypedDict):
    """Nodes, with the revision and ban counter of now."""

    nodes: list[NodeDocument]
    next: Next
    revision: Count
    ban_counter: Count


@exact
class EnrolledNodeDocument(TypedDict):
    """A new node."""

    name: str
    node_class: str | None
    created: Seconds
    secret: MachineSecret


@exact
class NodeTargetDocument(TypedDict):
    """What a node should have."""

    revision: Count
    ban_counter: Count


@exact
class ComponentDocument(TypedDict):
    """A component with the doors whose tokens it may present."""

    name: str
    doors: list[str]
    created: Seconds
    revoked: bool


def component_document(component: MachineCredential) -> ComponentDocument:
    """In force or revoked."""
    return {
        "name": component.name,
        "doors": list(component.doors),
        "created": component.created,
        "revoked": component.revoked,
    }


@exact
class ComponentsPage(TypedDict):
    """Components."""

    components: list[ComponentDocument]
    next: Next


@exact
class AddedComponentDocument(TypedDict):
    """A new component."""

    name: str
    doors: list[str]
    created: Seconds
    secret: MachineSecret


@exact
class RevokedDocument(TypedDict):
    """The name whose credential opens nothing any more."""

    revoked: str


@exact
class ChangeDocument(TypedDict):
    """One leaf of the record; `body` is null once erased, the commitment stays."""

    sequence: int
    at: Seconds
    author: str
    reason: str
    plan: str | None
    action: str
    body: dict[str, Any] | None
    commitment: str


def change_document(change: ChangeEntry) -> ChangeDocument:
    """Who, when, why, under which plan."""
    return {
        "sequence": change.sequence,
        "at": change.at,
        "author": change.author,
        "reason": change.reason,
        "plan": change.plan,
        "action": change.action,
        "body": None if change.body is None else dict(change.body),
        "commitment": change.commitment,
    }


@exact
class ChangesPage(TypedDict):
    """The record of changes, oldest first."""

    changes: list[ChangeDocument]
    next: Next


@exact
class VerifiedChangesDocument(TypedDict):
    """How many entries were checked."""

    verified: Count


@exact
class RunDocument(TypedDict):
    """One provisioning run, with its plan."""

    run_id: str
    started: Seconds
    finished: Seconds | None
    outcome: str
    reason: str | None
    plan: dict[str, Any] | None


def run_document(run: RunRecord) -> RunDocument:
    """Whatever became of it."""
    return {
        "run_id": run.run_id,
        "started": run.started,
        "finished": run.finished,
        "outcome": run.outcome,
        "reason": run.reason,
        "plan": None if run.plan is None else dict(run.plan),
    }


@exact
class RunsPage(TypedDict):
    """Runs, newest first."""

    runs: list[RunDocument]
    next: Next


@exact
class SignatureDocument(TypedDict):
    """One signature."""

    keyid: str
    sig: str


@exact
class EnvelopeDocument(TypedDict):
    """A signed document (DSSE); its payload in base64."""

    payloadType: str
    payload: str
    signatures: list[SignatureDocument]
