"""What nodes fetch and tell: signed documents, chunks, the event stream, their report.

POSIX chunks are content-addressed and verified by the node, so any dumb server may carry them and no credential
is asked; trust chunks hold salted identities and go to enrolled nodes only.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from idmap.application.ports import Author
from idmap.domain.errors import NotFound
from idmap.entrypoints.http.callers import CallerAt, NodeRoute, OpenRoute
from idmap.entrypoints.http.machine_documents import EnvelopeDocument, NodeTargetDocument
from idmap.entrypoints.http.openapi import carrying, failing
from idmap.entrypoints.http.parts import Parts, ServeParts, running
from idmap.entrypoints.http.request_documents import NodeReport

nodes = APIRouter(route_class=NodeRoute, tags=["nodes"])
anyone = APIRouter(route_class=OpenRoute, tags=["nodes"])

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the chunk.")]

_CHUNK: Final[dict[int | str, dict[str, Any]]] = {
    200: carrying("application/octet-stream", "The chunk.", binary=True)
}
_ENVELOPE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The envelope, with its SHA-256 as `ETag`.", "model": EnvelopeDocument},
    304: {"description": "The node has it: see `If-None-Match`."},
}


@nodes.get("/v1/snapshot/manifest", summary="The signed manifest", responses=_ENVELOPE)
def show_manifest(parts: Parts, request: Request) -> Response:
    """The newest one; `ETag` is its SHA-256."""
    return _document(parts, request, "manifest")


@nodes.get("/v1/snapshot/bans", summary="The signed ban list", responses=_ENVELOPE)
def show_bans(parts: Parts, request: Request) -> Response:
    """The newest one."""
    return _document(parts, request, "bans")


@nodes.get("/v1/snapshot/heartbeat", summary="The signed heartbeat", responses=_ENVELOPE)
def show_heartbeat(parts: Parts, request: Request) -> Response:
    """The service's clock, revision and ban counter."""
    return _document(parts, request, "heartbeat")


@nodes.get(
    "/v1/snapshot/trust/{sha256}",
    summary="A trust chunk",
    response_class=Response,
    responses=_CHUNK,
)
def show_trust_chunk(sha256: Digest, parts: Parts) -> Response:
    """For enrolled nodes; no cache on the way may keep it."""
    return _chunk(parts, sha256, restricted=True)


@anyone.get(
    "/v1/snapshot/chunks/{sha256}",
    summary="A POSIX chunk",
    response_class=Response,
    responses={**_CHUNK, **failing(400, 404)},
)
def show_posix_chunk(sha256: Digest, parts: Parts) -> Response:
    """Named by its content, so it never changes."""
    return _chunk(parts, sha256, restricted=False)


@nodes.post("/v1/nodes/self/report", summary="What this node has and masks")
def post_report(body: NodeReport, caller: CallerAt, parts: Parts) -> NodeTargetDocument:
    """Answers with what the node should have."""
    assert caller.credential is not None  # noqa: S101  # the node entrance takes nothing else
    name = caller.credential.name
    with parts.registry.write(Author(f"node:{name}", "node report")) as writer:
        writer.save_node_report(
            name,
            revision=body.revision,
            ban_counter=body.ban_counter,
            masked=body.masked,
            local_names=body.local_names,
            at=parts.clock(),
        )
    with parts.registry.read() as reader:
        return {"revision": reader.revision(), "ban_counter": reader.ban_counter()}


@nodes.get(
    "/v1/events",
    summary="Signed documents as they come",
    response_class=StreamingResponse,
    responses={200: carrying("text/event-stream", "It ends when the credential is revoked.")},
)
async def stream_events(caller: CallerAt, request: Request) -> StreamingResponse:
    """Server-sent events `manifest` (revision and SHA-256), `bans` and `heartbeat` (the envelopes)."""
    assert caller.credential is not None  # noqa: S101  # the node entrance takes nothing else
    hub = running(request).hub
    listener = hub.listen(caller.credential.name)
    return StreamingResponse(
        hub.frames(listener),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


def _document(parts: ServeParts, request: Request, name: str) -> Response:
    data = parts.store.read_document(name)
    if data is None:
        raise NotFound(f"no {name} was published yet")
    tag = f'"{hashlib.sha256(data).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="application/json", headers=headers)


def _chunk(parts: ServeParts, sha256: str, *, restricted: bool) -> Response:
    data = parts.store.read_chunk(sha256, restricted=restricted)
    if data is None:
        raise NotFound(f"chunk {sha256}")
    kept = "no-store" if restricted else "public, max-age=31536000, immutable"
    return Response(data, media_type="application/octet-stream", headers={"Cache-Control": kept})
