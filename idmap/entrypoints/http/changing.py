"""One request, one change: its conditions, its key and its answer belong to one transaction.

Every route of the admin door that changes something runs through `changing` by itself. The endpoint is given a
registry whose write transaction is entered once and committed only when the answer stands. So within one commit
lie: whether the request was answered before (`Idempotency-Key`,
draft-ietf-httpapi-idempotency-key-header-07), whether the thing still is what the caller read
(`If-Match`, RFC 9110 §13.1.1), the change with its record, and the answer to repeat. A crash leaves all of it or
nothing. Refusals change nothing and are not kept: a request sent again is looked at again.

An answer for which a secret was made is never kept (law 9): whoever asks again is told that it was done.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request
from fastapi.encoders import jsonable_encoder
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from idmap.application.ports import (
    Author,
    KeptAnswer,
    Registry,
    RegistryReader,
    RegistryWriter,
    SecretMaker,
)
from idmap.domain.errors import Conflict, InvalidInput
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.conditions import Conditions, Representation

MAX_KEY: Final = 255
KEPT_PER_CALLER: Final = 10_000
"""Beyond that the oldest answers of a caller go first: some 10 MB."""

REPLAYED: Final = "Idempotency-Replayed"

_STRING: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
"""RFC 9651 §3.3.3, as the draft wants it."""
_BARE: Final = re.compile(r"[A-Za-z0-9._~:/+=-]+", re.ASCII)
"""As most clients send it."""

_KEPT_HEADERS: Final = ("content-type", "etag", "location", "content-location")


def parse_key(values: list[str]) -> str | None:
    """The key of a request; None without one. Raises InvalidInput(REQUEST_INVALID)."""
    if not values:
        return None
    text = values[0].strip(" \t")
    quoted = _STRING.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if len(values) > 1 or not 1 <= len(key) <= MAX_KEY or not (quoted or _BARE.fullmatch(key)):
        raise InvalidInput(
            Reason.REQUEST_INVALID, f'Idempotency-Key: one string of 1 to {MAX_KEY}, as in "8e03…"'
        )
    return key


@dataclass(frozen=True, slots=True)
class Given:
    """What a request says, for finding the thing that it is about."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    """Its JSON, as far as it is any."""
    caller: Identity | None = None
    """Who asks, for things that not everybody may find."""


D = TypeVar("D")

Resource = Callable[[RegistryReader, Given], Representation[D] | None]
"""Finds the thing that a request is about; None when there is none."""


@dataclass(frozen=True, slots=True)
class _Concerns:
    resource: Resource[Any]

    async def __call__(self, request: Request) -> None:
        change = getattr(request.state, "change", None)
        if isinstance(change, OneChange):
            body = None
            if request.headers.get("content-type", "").startswith("application/json"):
                with suppress(
                    ValueError, RecursionError
                ):  # a route that takes no body never looked at it
                    body = await request.json()
            given = Given(
                dict(request.path_params),
                dict(request.query_params),
                body,
                getattr(getattr(request.state, "caller", None), "identity", None),
            )
            change.concerns(lambda reader: self.resource(reader, given))


def changes(resource: Resource[Any]) -> Any:
    """For the `dependencies` of a route: which thing it changes, so that `If-Match` is about it and the answer
    carries its new `ETag`.
    """
    return Depends(_Concerns(resource))


def concerned(route: Any) -> Resource[Any] | None:
    """The resource that a route was declared to change."""
    for dependency in getattr(route, "dependencies", ()):
        if isinstance(dependency.dependency, _Concerns):
            return dependency.dependency.resource
    return None


class _AnsweredBefore(Exception):
    """Ends the endpoint: there is an answer to repeat."""

    def __init__(self, kept: KeptAnswer) -> None:
        super().__init__(kept.key)
        self.kept = kept


class OneChange:
    """The registry as one changing request sees it; implements `Registry`. Used by one thread."""

    def __init__(
        self,
        registry: Registry,
        make_secret: SecretMaker,
        *,
        caller: str,
        at: int,
        conditions: Conditions,
        key: str | None,
        fingerprint: bytes,
        keep_seconds: int,
    ) -> None:
        self._registry = registry
        self._make_secret = make_secret
        self._caller, self._at, self._conditions = caller, at, conditions
        self._key, self._fingerprint, self._keep_seconds = key, fingerprint, keep_seconds
        self._resource: Callable[[RegistryReader], Representation[Any] | None] | None = None
        self._transaction: ExitStack | None = None
        self._writer: RegistryWriter | None = None
        self._secret_made = False

    # --- the registry

    @contextmanager
    def read(self) -> Iterator[RegistryReader]:
        """Within the change, what the change has made of it."""
        if self._writer is not None:
            yield self._writer
            return
        with self._registry.read() as reader:
            yield reader

    @contextmanager
    def write(self, author: Author) -> Iterator[RegistryWriter]:
        """Joins the one transaction; an exception from the block ends it with nothing changed."""
        if self._writer is None:
            self._begin(author)
        assert self._writer is not None  # noqa: S101  # `_begin` raises or sets it
        try:
            yield self._writer
        except BaseException as error:
            self._abandon(error)
            raise

    def rehearse(self, author: Author) -> AbstractContextManager[RegistryWriter]:
        return self._registry.rehearse(author)

    def take_lease(self, name: str, holder: str, *, at: int, seconds: int) -> bool:
        return self._registry.take_lease(name, holder, at=at, seconds=seconds)

    def release_lease(self, name: str, holder: str) -> None:
        self._registry.release_lease(name, holder)

    def change_token(self) -> int:
        return self._registry.change_token()

    def close(self) -> None:
        """It is not ours to close."""

    def make_secret(self) -> Secret:
        """As the port; remembers that the answer will hold one."""
        self._secret_made = True
        return self._make_secret()

    # --- the change

    def concerns(self, resource: Callable[[RegistryReader], Representation[Any] | None]) -> None:
        """Which thing the conditions are about. Without one there is nothing that could match."""
        self._resource = resource

    def run(self, endpoint: Callable[[], Any], status: int) -> Response:
        """The endpoint's answer, once its change is committed; or the answer there was."""
        try:
            if self._key is not None:
                with self._registry.read() as reader:
                    self._repeat(reader)
            answer = endpoint()
            return self._finish(
                answer
                if isinstance(answer, Response)
                else JSONResponse(jsonable_encoder(answer), status_code=status)
            )
        except _AnsweredBefore as found:
            return _repeated(found.kept)
        except BaseException as error:
            self._abandon(error)
            raise

    def _begin(self, author: Author) -> None:
        self._transaction = ExitStack()
        try:
            writer = self._transaction.enter_context(self._registry.write(author))
            self._repeat(writer)
            if self._conditions != Conditions():
                found = None if self._resource is None else self._resource(writer)
                self._conditions.check(None if found is None else found.tag)
        except BaseException as error:
            self._abandon(error)
            raise
        self._writer = writer

    def _repeat(self, reader: RegistryReader) -> None:
        if self._key is None:
            return
        kept = reader.find_answer(self._caller, self._key, self._at)
        if kept is None:
            return
        if kept.fingerprint != self._fingerprint:
            raise Conflict(Reason.IDEMPOTENCY_KEY_REUSED, f"first used at {kept.at}")
        if kept.body is None:
            raise Conflict(Reason.SECRET_GIVEN_ONCE, f"done at {kept.at}")
        raise _AnsweredBefore(kept)

    def _finish(self, response: Response) -> Response:
        if self._writer is None or self._transaction is None:
            return response
        writer = self._writer
        found = None if self._resource is None else self._resource(writer)
        if found is not None:
            _describe(response, found)
        if self._key is not None:
            kept = None if self._secret_made else bytes(response.body).decode("utf-8")
            writer.keep_answer(
                KeptAnswer(
                    caller=self._caller,
                    key=self._key,
                    fingerprint=self._fingerprint,
                    at=self._at,
                    expires=self._at + self._keep_seconds,
                    status=response.status_code,
                    headers={n: v for n, v in response.headers.items() if n in _KEPT_HEADERS},
                    body=kept,
                ),
                at_most=KEPT_PER_CALLER,
            )
        transaction, self._transaction, self._writer = self._transaction, None, None
        transaction.close()
        return response

    def _abandon(self, error: BaseException) -> None:
        transaction, self._transaction, self._writer = self._transaction, None, None
        if transaction is not None:
            transaction.__exit__(type(error), error, error.__traceback__)


def _describe(response: Response, now: Representation[Any]) -> None:
    """The tag of the thing as it is now; where the answer is the thing, where it is got (RFC 9110 §8.7)."""
    response.headers["ETag"] = str(now.tag)
    if json.loads(bytes(response.body)) == json.loads(bytes(JSONResponse(now.document).body)):
        response.headers["Content-Location"] = now.location


def _repeated(kept: KeptAnswer) -> Response:
    return Response(kept.body, status_code=kept.status, headers={**kept.headers, REPLAYED: "true"})


def fingerprint(request: Request, body: bytes) -> bytes:
    """What makes two requests the same: method, target, reason, conditions and body."""
    headers: Headers = request.headers
    target = request.url.path + "?" + request.url.query
    parts = [request.method.encode(), target.encode(), body]
    for name in ("idmap-reason", "if-match", "if-none-match"):
        parts.append(",".join(headers.getlist(name)).encode("latin-1", "replace"))
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


async def _change_of(request: Request) -> OneChange:
    change = request.state.change
    assert isinstance(change, OneChange)  # noqa: S101  # set by the route class
    return change


def changing(endpoint: Callable[..., Any], status: int) -> Callable[..., Any]:
    """The endpoint of a route, run as one change. Takes plain functions only: one thread from begin to commit."""
    if hasattr(endpoint, "runs_as_one_change"):
        return endpoint
    if inspect.iscoroutinefunction(endpoint):
        raise TypeError(f"{endpoint.__name__}: what changes the registry is a plain function")

    @functools.wraps(endpoint)
    def run(*, one_change_: OneChange, **given: Any) -> Response:
        return one_change_.run(lambda: endpoint(**given), status)

    own = inspect.signature(endpoint, eval_str=True)
    hidden = inspect.Parameter(
        "one_change_",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[OneChange, Depends(_change_of)],
    )
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), hidden])  # type: ignore[attr-defined]  # read by FastAPI
    run.runs_as_one_change = True  # type: ignore[attr-defined]  # an include wraps once only
    del run.__wrapped__  # FastAPI would look through to the inner signature
    return run
