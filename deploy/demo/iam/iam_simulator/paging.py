"""How IAM cuts lists into pages: which cap, which default, what it does with 0, and in what order.

`PAGING` is the table. It is read by the handlers and by fault injection, which must know which page
a request asks for. Sources: INDIGO IAM 1.12 paging code; indigo-iam/iam#615, #1204.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from .errors import Refusal, crash_page, scim_error

Row = TypeVar("Row")

ListOrder = Literal["stable", "window", "shuffled"]
"""How unsorted lists come.

`stable`: by creation. `window`: each page's rows are mixed anew at every request, but no row leaves
its page, so a crawl with one page size is complete. `shuffled`: rows move anywhere at every request,
so a crawl of several pages doubles and skips rows, as offset paging without an order may.
"""


@dataclass(frozen=True, slots=True)
class Paging:
    """The habits of one list. `zero_count` and `zero_start` say what a 0 does."""

    paths: re.Pattern[str]
    cap: int
    default: int
    zero_count: Literal["totals", "crash"]
    zero_start: Literal["first", "refuse"]
    is_sorted: bool


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page asked for, after caps. `count` 0 asks for the totals alone."""

    start_index: int
    count: int

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return self.start_index - 1

    @property
    def number(self) -> int:
        """Which page this is, from 1, if all pages have this size."""
        return 1 + self.offset // max(self.count, 1)


PAGING = (
    Paging(re.compile(r"/scim/(Users|Groups)"), 100, 100, "totals", "first", is_sorted=False),
    Paging(
        re.compile(r"/scim/Groups/[^/]+/(members|subgroups)"),
        100,
        100,
        "crash",
        "first",
        is_sorted=True,
    ),
    Paging(
        re.compile(r"/iam/account/find/bygroup/[^/]+"), 100, 10, "crash", "refuse", is_sorted=True
    ),
    Paging(re.compile(r"/iam/group/find/bylabel"), 100, 10, "crash", "refuse", is_sorted=False),
    Paging(re.compile(r"/iam/(account|group)/search"), 10, 10, "totals", "first", is_sorted=True),
)


def find_paging(path: str) -> Paging | None:
    """The habits of the list at `path`, or None when it is not a list."""
    return next((paging for paging in PAGING if paging.paths.fullmatch(path)), None)


def read_page(path: str, query: Mapping[str, str]) -> PageRequest:
    """The page a request asks for. Raises `Refusal` where IAM would: 400, or 500 with a trace."""
    paging = find_paging(path)
    if paging is None:
        raise LookupError(f"{path} is not a list")
    start = _number(query, "startIndex", 1)
    count = _number(query, "count", paging.default)
    if start < 1:
        if paging.zero_start == "refuse":
            raise scim_error(400, "Invalid find account request: startIndex must be at least 1")
        start = 1
    if count < 0:
        count = 0 if paging.zero_count == "totals" else paging.default
    if count == 0 and paging.zero_count == "crash":
        raise Refusal(crash_page("Page size must not be less than one"))
    return PageRequest(start, min(count, paging.cap))


def cut(
    rows: Sequence[Row], page: PageRequest, *, order: ListOrder, chance: random.Random
) -> list[Row]:
    """The rows of one page. `chance` is fresh for each request, so the order differs each time."""
    if order == "shuffled":
        moved = list(rows)
        chance.shuffle(moved)
        return moved[page.offset : page.offset + page.count]
    window = list(rows[page.offset : page.offset + page.count])
    if order == "window":
        chance.shuffle(window)
    return window


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise scim_error(400, f"{name} is not a number") from None
