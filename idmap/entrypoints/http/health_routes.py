"""Whether the service lives, may be sent requests, and how it fares. Numbers only, for anybody."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from idmap.entrypoints.http.answers import Json
from idmap.entrypoints.http.callers import OpenRoute
from idmap.entrypoints.http.door_documents import AliveDocument, NotReadyDocument, ReadyDocument
from idmap.entrypoints.http.openapi import carrying
from idmap.entrypoints.http.parts import Parts, running

router = APIRouter(route_class=OpenRoute, tags=["health"])


@router.get("/healthz", summary="Alive")
async def healthz() -> AliveDocument:
    """Answers as long as the process does; asks nobody else."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    summary="Ready for requests",
    responses={
        200: {"description": "It is.", "model": ReadyDocument},
        503: {"description": "It is not.", "model": NotReadyDocument},
    },
)
def readyz(parts: Parts) -> Json[ReadyDocument] | Json[NotReadyDocument]:
    """200 once the registry answers, else 503; `snapshot` says whether one was published, `low_ranges` which ranges
    have less than a tenth of their numbers left.
    """
    try:
        with parts.registry.read() as reader:
            revision = reader.revision()
            low = [status.range.name for status in reader.ranges() if status.is_low]
    except Exception:  # whatever a registry raises, it is not ready
        return Json[NotReadyDocument]({"status": "registry unavailable"}, status_code=503)
    published = parts.store.read_document("manifest") is not None
    return Json[ReadyDocument](
        {
            "status": "ready",
            "revision": revision,
            "snapshot": "published" if published else "none",
            "low_ranges": low,
        }
    )


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: carrying("text/plain", "The exposition format.")},
)
def metrics(request: Request) -> Response:
    """Counts and gauges; no name of a person or a machine."""
    run = running(request)
    run.metrics.streams.set(run.hub.open_streams)
    return Response(run.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
