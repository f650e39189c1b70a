"""Faults on demand: which request goes wrong, how, and how often.

A fault waits for a request that fits, may change the directory just before the answer (drift), and
then delays, replaces, thins out or cuts the answer. At most one fault acts on a request: the oldest
that fits. Faults are the simulator's own; IAM has no such thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from starlette.responses import JSONResponse, Response

from .changes import Change
from .errors import crash_page, page
from .specs import Spec


class FaultSpec(Spec):
    """A fault as ordered. All given conditions must hold; all given effects happen.

    `on_page` counts pages by `startIndex` and `count`, from 1; `on_request` counts fitting requests
    since the fault was ordered, from 1. `times` null means until cleared.
    """

    path_prefix: str = "/"
    method: str | None = None
    on_page: int | None = Field(default=None, ge=1)
    on_request: int | None = Field(default=None, ge=1)
    times: int | None = Field(default=1, ge=1)

    status: int | None = Field(default=None, ge=400, le=599)
    body: Literal["crash", "html", "json", "empty"] = "crash"
    headers: dict[str, str] = Field(default_factory=dict)
    delay_ms: int = Field(default=0, ge=0, le=60_000)
    truncate: bool = False
    drop_rows: int = Field(default=0, ge=0)
    total_results_delta: int = 0
    drift: tuple[Change, ...] = ()


@dataclass(slots=True)
class Fault:
    """An ordered fault with its counts."""

    number: int
    spec: FaultSpec
    seen: int = 0
    acted: int = 0

    def fits(self, method: str, path: str, page_number: int | None) -> bool:
        """Whether this request is the one; counts it when it is of the right kind."""
        spec = self.spec
        if spec.method not in (None, method) or not path.startswith(spec.path_prefix):
            return False
        if spec.on_page not in (None, page_number):
            return False
        self.seen += 1
        return spec.on_request in (None, self.seen)

    @property
    def is_spent(self) -> bool:
        """Whether it has acted as often as it was ordered to."""
        return self.spec.times is not None and self.acted >= self.spec.times


class Faults:
    """The faults in force, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._made = 0

    def order(self, spec: FaultSpec) -> Fault:
        """Put a fault in force."""
        self._made += 1
        fault = Fault(self._made, spec)
        self._faults.append(fault)
        return fault

    def list_faults(self) -> list[Fault]:
        """The faults still in force."""
        return list(self._faults)

    def clear(self) -> None:
        """Lift every fault."""
        self._faults.clear()

    def take(self, method: str, path: str, page_number: int | None) -> FaultSpec | None:
        """The fault that acts on this request, if any. A spent fault is gone afterwards."""
        for fault in self._faults:
            if fault.fits(method, path, page_number):
                fault.acted += 1
                self._faults = [kept for kept in self._faults if not kept.is_spent]
                return fault.spec
        return None


def replacement(spec: FaultSpec) -> Response | None:
    """The answer a fault gives in place of the real one, if it does."""
    if spec.status is None:
        return None
    response: Response
    match spec.body:
        case "crash":
            response = crash_page("a fault was ordered", spec.status)
        case "html":
            response = page(spec.status, "a fault was ordered")
        case "json":
            response = JSONResponse({"error": "a fault was ordered"}, spec.status)
        case "empty":
            response = Response(status_code=spec.status)
    response.headers.update(spec.headers)
    return response


def truncated(response: Response) -> Response:
    """The first half of a response, with a length that fits: a body that ends too soon."""
    body = bytes(response.body)[: len(response.body) // 2]
    return Response(body, response.status_code, media_type=response.media_type)
