"""Schemathesis over the OpenAPI document: whatever is sent, no 5xx, and every answer is one that the document has.

Two questions per operation. With the credential that opens its entrance: every boundary that schemathesis derives from
the document, examples that name what is there, and generated requests, all on one site where something of everything
has happened. And with every other credential, and none. The same requests each time: nothing is random.

`GET /v1/events` never ends, so it is asked here with what does not open it only; test_events reads the stream.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.specs.openapi import checks
from starlette.types import Receive, Scope, Send

from idmap.domain.reasons import REASONS, Reason
from idmap.entrypoints.http.app import surface
from idmap.entrypoints.http.problems import MEDIA_TYPE
from tests.entrypoints.http.rich_site import OPENS, issued, known, rich_site
from tests.entrypoints.http.site import Site

STREAM: Final = "GET /v1/events"
BOUNDED: Final = settings(
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def problems(_: CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """Whatever did not go well is a problem (RFC 9457) with a code that we know; what did is none."""
    if response.status_code < 400 or (case.path == "/readyz" and response.status_code == 503):
        assert response.headers.get("content-type") != [MEDIA_TYPE]
        return
    assert response.headers["content-type"] == [MEDIA_TYPE], response.status_code
    body = response.json()
    assert body["code"] in REASONS.keys() | {str(reason) for reason in Reason}
    assert body["status"] == response.status_code
    assert response.headers["idmap-correlation-id"] == [body["correlation_id"]]


CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    problems,
]


def _document() -> dict[str, Any]:
    """As the service publishes it, with examples that name what the rich site has."""
    document = surface().openapi()
    there = known()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            label = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", ()):
                place = f"{parameter['in']} {parameter['name']}"
                prefix = "/".join(path.split("/")[:3])
                examples = next(
                    (
                        there[at]
                        for at in (f"{label} {place}", f"{prefix} {place}", place)
                        if at in there
                    ),
                    (),
                )
                if examples:
                    parameter["examples"] = _examples(examples)
            bodies = there.get(label, ())
            if bodies:
                content = operation["requestBody"]["content"]["application/json"]
                content["examples"] = _examples(bodies)
    return document


def _examples(values: Iterable[Any]) -> dict[str, Any]:
    return {f"example{n}": {"value": value} for n, value in enumerate(values)}


def _schema(*, boundaries: bool) -> Any:
    schema = schemathesis.openapi.from_dict(_document())
    schema.config.generation.update(with_security_parameters=False)
    schema.config.checks.negative_data_rejection.expected_statuses += ["412", "413"]
    schema.config.phases.coverage.enabled = boundaries
    return schema


EVERYTHING: Final = _schema(boundaries=True)
FEW: Final = _schema(boundaries=False)
ANSWERED: Final[dict[str, set[int]]] = defaultdict(set)
"""The statuses that each operation answered with."""


class Standing:
    """The application that is asked, whichever test it belongs to; its event stream does not run."""

    site: Site
    turn: Iterator[int]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Schemathesis keeps the first application it meets for ever: so it meets this one only."""
        if scope["type"] == "http":
            await self.site.app(scope, receive, send)
        else:
            raise NotImplementedError("no lifespan")


STANDING: Final = Standing()


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    """A fresh rich site for one operation."""
    with rich_site(tmp_path) as STANDING.site:
        STANDING.turn = itertools.count()
        yield STANDING


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """One for all operations: nothing that is shown to it opens anything."""
    with rich_site(tmp_path_factory.mktemp("closed")) as STANDING.site:
        yield STANDING


def _scheme(case: schemathesis.Case) -> str:
    """What the operation asks for, by OpenAPI's name; empty when nothing."""
    security = case.operation.definition.raw.get("security") or [{}]
    return next(iter(security[0]), "")


def _ask(case: schemathesis.Case, standing: Standing, secret: str | None) -> int:
    """One request; its answer keeps to the document."""
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    if "Idmap-Reason" not in (case.headers or {}):
        headers["Idmap-Reason"] = "a test"
    answer = case.call(base_url="https://idmap.example", headers=headers, app=standing)
    case.validate_response(answer, checks=CHECKS)
    return answer.status_code


def _opened(case: schemathesis.Case, standing: Standing) -> None:
    if case.operation.label == STREAM:
        return
    names = OPENS[_scheme(case)]
    name = names[next(standing.turn) % len(names)]
    ANSWERED[case.operation.label].add(_ask(case, standing, issued(standing.site)[name]))


@EVERYTHING.parametrize()
@settings(BOUNDED, max_examples=5)
def test_every_answer_is_one_that_the_document_has(
    case: schemathesis.Case, standing: Standing
) -> None:
    """With the credential that opens the operation's entrance."""
    _opened(case, standing)


@pytest.mark.long
@pytest.mark.timeout(600)
@EVERYTHING.parametrize()
@settings(BOUNDED, max_examples=300)
def test_so_is_every_answer_to_many_more_requests(
    case: schemathesis.Case, standing: Standing
) -> None:
    """The same at length."""
    _opened(case, standing)


@FEW.parametrize()
@settings(BOUNDED, max_examples=1)
def test_so_is_every_refusal_of_what_does_not_open_it(
    case: schemathesis.Case, closed: Standing
) -> None:
    """Every other credential, and none: 401 or 403, whatever else is sent."""
    scheme = _scheme(case)
    for name, secret in (*issued(closed.site).items(), ("nothing", None)):
        if not scheme or name in OPENS[scheme]:
            continue
        assert _ask(case, closed, secret) in {401, 403}, name


def test_every_operation_was_answered_well() -> None:
    """A fuzz that meets refusals only would prove little. Reads what the tests above wrote."""
    silent = {label for label, met in ANSWERED.items() if not any(code < 300 for code in met)}
    assert silent == set()
