"""Schemathesis over the OpenAPI document: whatever is sent, no 5xx, and every answer is one that the document has.

Two questions per operation. With the credential that opens its entrance: every boundary that schemathesis derives from
the document, examples that name what is there, and generated requests, all on one site where something of everything
has happened. And with every other credential, and none. The same requests each time: nothing is random.

`GET /v1/events` never ends, so it is asked here with what does not open it only; test_events reads the stream.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    create_test,
)
from schemathesis.generation.hypothesis.builder import HypothesisTestMode as Mode
from schemathesis.specs.openapi import checks
from starlette.types import Receive, Scope, Send

from idmap.domain.reasons import REASONS, Reason
from idmap.entrypoints.http.app import surface
from idmap.entrypoints.http.problems import MEDIA_TYPE
from tests.entrypoints.http.rich_site import (
    OPENS,
    issued,
    known,
    openers,
    rich_postgresql_site,
    rich_site,
)
from tests.entrypoints.http.site import Site

STREAM: Final = "GET /v1/events"
LINES: Final = [
    line
    for lines in tomllib.loads(
        Path(__file__).with_name("route_doors.toml").read_text(encoding="utf-8")
    ).values()
    for line in lines
    if line != "GET /openapi.json"
]
"""Every operation, as the table of entrances has it."""


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


@pytest.fixture(scope="module")
def schema() -> Any:
    """The document as schemathesis reads it; made when the first test needs it, not when tests are listed."""
    made = schemathesis.openapi.from_dict(_document())
    made.config.generation.update(with_security_parameters=False)
    made.config.checks.negative_data_rejection.expected_statuses += ["412", "413"]
    made.config.phases.coverage.unexpected_methods = {"PATCH", "OPTIONS"}
    return made


class Asked:
    """What schemathesis talks to. It keeps the first application it meets for ever: so it meets this one only."""

    site: Site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """No lifespan: the event stream does not run."""
        if scope["type"] != "http":
            raise NotImplementedError("no lifespan")
        await self.site.app(scope, receive, send)


ASKED: Final = Asked()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh rich site."""
    with rich_site(tmp_path) as ASKED.site:
        yield ASKED.site


def _each(
    schema: Any, line: str, ask: Callable[[schemathesis.Case], None], modes: list[Mode], most: int
) -> None:
    """Every case of one operation: `most` generated ones beside those of the other modes."""
    method, path = line.split()
    bounded = settings(
        max_examples=most,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    config = HypothesisTestConfig(project=schema.config, modes=modes, settings=bounded, seed=1)
    create_test(operation=schema[path][method], test_func=ask, config=config)()


def _scheme(case: schemathesis.Case) -> str:
    """What the operation asks for, by OpenAPI's name; empty when nothing."""
    security = case.operation.definition.raw.get("security") or [{}]
    return next(iter(security[0]), "")


def _ask(case: schemathesis.Case, secret: str | None) -> int:
    """One request; its answer keeps to the document."""
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    if "Idmap-Reason" not in (case.headers or {}):
        headers["Idmap-Reason"] = "a test"
    answer = case.call(base_url="https://idmap.example", headers=headers, app=ASKED)
    case.validate_response(answer, checks=CHECKS)
    return answer.status_code


def _without_conditions(case: schemathesis.Case) -> None:
    """Made-up ones hardly ever hold, and no request would get further."""
    for name in ("If-Match", "If-None-Match", "Idempotency-Key"):
        (case.headers or {}).pop(name, None)


def _ask_opened(schema: Any, site: Site, line: str, modes: list[Mode], most: int) -> set[int]:
    """With the credentials that open the operation's entrance, in turn."""
    shown, numbers, met = issued(site), itertools.count(), set()

    def ask(case: schemathesis.Case) -> None:
        names, number = openers(_scheme(case), case.path), next(numbers)
        if number % 4:
            _without_conditions(case)
        met.add(_ask(case, shown[names[number % len(names)]]))

    _each(schema, line, ask, modes, most)
    return met


@pytest.mark.parametrize("line", sorted({*LINES} - {STREAM}))
def test_every_answer_is_one_that_the_document_has(schema: Any, site: Site, line: str) -> None:
    """And some go well: a fuzz that meets refusals only would prove little."""
    met = _ask_opened(schema, site, line, [Mode.EXAMPLES, Mode.COVERAGE, Mode.FUZZING], 3)
    assert any(status < 300 for status in met), met


@pytest.mark.parametrize("line", LINES)
def test_so_is_every_refusal_of_what_does_not_open_it(schema: Any, site: Site, line: str) -> None:
    """Every other credential, and none: 401 or 403, whatever else is sent."""
    shown = [*issued(site).items(), ("nothing", None)]

    def ask(case: schemathesis.Case) -> None:
        scheme = _scheme(case)
        for name, secret in shown:
            if scheme and name not in OPENS[scheme]:
                assert _ask(case, secret) in {401, 403}, name

    _each(schema, line, ask, [Mode.FUZZING], 1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("line", sorted({*LINES} - {STREAM}))
def test_so_is_every_answer_to_many_more_requests(schema: Any, site: Site, line: str) -> None:
    """The same at length."""
    _ask_opened(schema, site, line, [Mode.FUZZING], 300)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_so_is_every_answer_of_a_service_on_postgresql(schema: Any, tmp_path: Path) -> None:
    """One site for all, in the order of the table: what the registry takes is another's to say here."""
    with rich_postgresql_site(tmp_path) as ASKED.site:
        for line in LINES:
            if line != STREAM:
                _ask_opened(schema, ASKED.site, line, [Mode.COVERAGE, Mode.FUZZING], 20)
