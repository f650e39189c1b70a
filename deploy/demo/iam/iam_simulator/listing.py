"""Answering a list: cut the page, draw its rows, and let a fault spoil it.

The one place where lists become responses, so that every list has the same envelope and every list
can be hit by the same faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse

from .errors import SCIM_MEDIA_TYPE
from .faults import FaultSpec
from .instance import Instance
from .paging import cut, find_paging, read_page
from .shapes import Json, list_response, totals_only

Row = TypeVar("Row")

NO_FAULT = FaultSpec()


def scim_answer(body: Json) -> JSONResponse:
    """`body` as `application/scim+json`."""
    return JSONResponse(body, media_type=SCIM_MEDIA_TYPE)


def answer_list(
    instance: Instance,
    request: Request,
    rows: Sequence[Row],
    draw: Callable[[Row], Json],
) -> Json:
    """The list body for the page this request asks for. Raises `Refusal` as `read_page` does.

    A fault's `drop_rows` takes rows from the end of the page while `totalResults` stays, and
    `total_results_delta` makes `totalResults` wrong.
    """
    path = request.url.path
    page = read_page(path, request.query_params)
    fault: FaultSpec = getattr(request.state, "fault", None) or NO_FAULT
    total = max(0, len(rows) + fault.total_results_delta)
    if page.count == 0:
        return totals_only(total)
    paging = find_paging(path)
    is_sorted = paging is not None and paging.is_sorted
    order = "stable" if is_sorted else instance.settings.list_order
    chosen = cut(rows, page, order=order, chance=instance.chance())
    kept = chosen[: max(0, len(chosen) - fault.drop_rows)]
    return list_response([draw(row) for row in kept], total=total, start_index=page.start_index)
