"""The HTTP application: every route with its entrance, every failure a problem.

`ROUTERS` is the whole surface. A route is added to a router whose route class names its entrance; there is no other way
in, and tests/entrypoints/http/route_doors.toml lists them all for a person to review.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI

from idmap import __version__
from idmap.application.differences import AssertedGroups
from idmap.entrypoints.http import (
    difference_routes,
    doors_routes,
    group_routes,
    health_routes,
    link_routes,
    machine_routes,
    managed_routes,
    node_routes,
    people_routes,
    policy_routes,
    rule_routes,
    verifier_routes,
)
from idmap.entrypoints.http.comparing import Comparing
from idmap.entrypoints.http.edge import Edge
from idmap.entrypoints.http.metrics import ServeMetrics
from idmap.entrypoints.http.openapi import DocumentedApi
from idmap.entrypoints.http.parts import Running, ServeParts
from idmap.entrypoints.http.permissions import ROLES_IN_WORDS
from idmap.entrypoints.http.problems import add_problem_handlers
from idmap.entrypoints.http.stream import EventHub

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

ROUTERS: Final = (
    doors_routes.components,
    doors_routes.people,
    policy_routes.router,
    rule_routes.router,
    people_routes.router,
    group_routes.router,
    managed_routes.router,
    link_routes.people,
    link_routes.administrators,
    difference_routes.router,
    machine_routes.router,
    node_routes.nodes,
    node_routes.anyone,
    verifier_routes.router,
    health_routes.router,
)

_DESCRIPTION: Final = (
    "Maps federated identities to stable HPC accounts. Every refusal is an RFC 9457 problem with a `code`, "
    "a `next_step` and a `correlation_id`; every change needs a reason, in the body or as `Idmap-Reason`. "
    f"{ROLES_IN_WORDS}."
)


def surface(lifespan: Lifespan | None = None) -> DocumentedApi:
    """Every route and what OpenAPI says of it, with nothing behind it."""
    app = DocumentedApi(
        title="idmap",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        # Taken over as they are: an include would wrap each route once more on every request.
        app.router.routes.extend(router.routes)
    return app


def create_app(parts: ServeParts) -> FastAPI:
    """The application over these parts. Start its lifespan to have the event stream running, and tokens compared."""
    hub = EventHub(
        parts.store,
        parts.registry,
        poll_seconds=parts.poll_seconds,
        max_streams=parts.max_streams,
    )
    metrics = ServeMetrics(parts.registry, parts.clock)
    asserted = AssertedGroups()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Of this start: its waiting belongs to one event loop.
        comparing = Comparing(
            asserted, parts.registry, parts.clock, every_seconds=parts.compare_seconds
        )
        await hub.start()
        await comparing.start()
        try:
            yield
        finally:
            await comparing.stop()
            await hub.stop()

    app = surface(lifespan)
    app.state.running = Running(parts, metrics, hub, asserted)
    add_problem_handlers(app)
    app.add_middleware(Edge, count=metrics.count_request)
    return app
