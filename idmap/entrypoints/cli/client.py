"""The administrators' side of the REST door: one connection, one decorator for commands.

`@administers(app, "list")` turns a function of a `Site` into a Typer command with `--url`, `--key-file`,
`--ca-file` and `--json`, prints what it returns and turns failures into exit codes: 1 refused, 2 wrong usage, 4
service out of reach. Plain http is for loopback only; redirects are not followed, so the key goes nowhere else.

A command that wants a reason is a change: it carries an `Idempotency-Key`, so that it can be sent again when the
connection breaks and is still done once. It is sent again for RETRY_SECONDS at most.
"""

from __future__ import annotations

import functools
import inspect
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import httpx2
import typer

from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.issuers import is_loopback_url
from idmap.domain.reasons import REASONS, Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.cli.output import Answer, Pages, show, show_problem
from idmap.entrypoints.settings import read_secret_file

P = ParamSpec("P")

Before = Callable[..., Answer | None]

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 4

DEFAULT_URL: Final = "https://127.0.0.1:8443"
DEFAULT_KEY_FILE: Final = Path("/etc/idmap/admin.key")
TIMEOUT_SECONDS: Final = 60.0
"""A what-if over a large population takes its time; everything else is quick."""
RETRY_SECONDS: Final = 20.0
"""A service that is restarted is back by then."""
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
_BROKEN: Final = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)
"""The request may have arrived. One that never left fails at once: nobody listens, or a certificate is wrong."""

Url = Annotated[
    str, typer.Option("--url", envvar="IDMAP_URL", metavar="URL", help="Where the service is.")
]
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key-file",
        envvar="IDMAP_KEY_FILE",
        metavar="FILE",
        help="Admin key, or a token for the admin door; mode 0600.",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", envvar="IDMAP_CA_FILE", metavar="FILE", help="Trust this CA for the service."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the service's JSON.")]
Why = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; goes on the record of changes.")
]
IfMatch = Annotated[
    str | None,
    typer.Option(
        "--if-match",
        metavar="ETAG",
        help="Refuse unless this is still its etag, as 'show' printed it; * for: unless it is there.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="Send the change under this key, to repeat one whose answer was lost; else a new one.",
    ),
]
Out = Annotated[
    str,
    typer.Option("--out", metavar="FILE", help="New file for the secret (0600); - prints it."),
]


class ProblemAnswered(Exception):
    """The service answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.problem = problem


class OutOfReach(Exception):
    """The service did not answer, or not as idmap does. With a key: a change was sent, and nobody knows."""

    def __init__(self, detail: str, key: str | None = None) -> None:
        super().__init__(detail)
        self.key = key


@dataclass(frozen=True, slots=True)
class Site:
    """A connection to one service with one credential."""

    url: str
    key: Secret
    ca_file: Path | None
    timeout: float = TIMEOUT_SECONDS
    if_match: str | None = None
    """For the change that the command makes."""
    idempotency_key: str | None = None

    def tagged(self, path: str, **query: object) -> dict[str, Any]:
        """The document of one thing, with its `etag` as one more member."""
        answer = self._sent("GET", path, query=query)
        document: dict[str, Any] = _decoded(self.url, answer)
        return {**document, "etag": answer.headers.get("etag")}

    def get(self, path: str, **query: object) -> Any:
        """The document at a path. Raises ProblemAnswered, OutOfReach."""
        return self.ask("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Sends a document."""
        return self.ask("POST", path, body=body)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, object] | None = None,
        reason: str | None = None,
        if_match: int | None = None,
    ) -> Any:
        """One request; the decoded answer. A change is sent again, with its key, when the connection breaks."""
        headers: dict[bytes, bytes] = {}
        if reason is not None:
            headers[b"Idmap-Reason"] = reason.encode("utf-8", "replace")
        if if_match is not None:
            headers[b"If-Match"] = b'"%d"' % if_match
        elif self.if_match is not None and method != "GET":
            headers[b"If-Match"] = _tag(self.if_match).encode("latin-1", "replace")
        return _decoded(self.url, self._sent(method, path, body=body, query=query, more=headers))

    def _sent(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, object] | None = None,
        more: Mapping[bytes, bytes] | None = None,
    ) -> httpx2.Response:
        headers: dict[bytes, bytes] = {
            b"Authorization": f"Bearer {self.key.reveal()}".encode("utf-8", "surrogateescape"),
            **(more or {}),
        }
        key = self.idempotency_key or str(uuid.uuid4())
        if method != "GET":
            headers[b"Idempotency-Key"] = f'"{key}"'.encode("ascii", "replace")
        params = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in (query or {}).items()
            if value is not None
        }
        began, broken = time.monotonic(), False
        with httpx2.Client(
            base_url=self.url,
            verify=tls_context(self.ca_file),
            timeout=self.timeout,
            trust_env=False,
        ) as client:
            for pause in (*_PAUSES, None):
                last = pause is None or time.monotonic() - began > RETRY_SECONDS
                try:
                    answer = client.request(method, path, params=params, json=body, headers=headers)
                except httpx2.HTTPError as error:
                    broken = broken or isinstance(error, _BROKEN)
                    if last or not broken:
                        raise OutOfReach(
                            f"{self.url}: {type(error).__name__}: {error}",
                            key if broken and method != "GET" else None,
                        ) from error
                else:
                    if last or not _is_running(answer):
                        return answer
                time.sleep(pause or 0)
        raise AssertionError("the last round returns or raises")


def _is_running(answer: httpx2.Response) -> bool:
    """Another request under the same key, which may well be this one, sent before."""
    return answer.status_code == 409 and f'"{Reason.REQUEST_RUNNING}"' in answer.text


def _tag(text: str) -> str:
    """An entity tag as people pass it: shells eat its quotes."""
    return text if text == "*" or text.endswith('"') else f'"{text}"'


def connect(url: str, key_file: Path, ca_file: Path | None) -> Site:
    """A site from the common options. Raises InvalidInput."""
    address = url.rstrip("/")
    if not address.startswith("https://") and not is_loopback_url(address):
        raise InvalidInput(
            Reason.REQUEST_INVALID, f"--url {url}: https is needed; plain http is for loopback only"
        )
    return Site(address, read_secret_file(key_file), ca_file)


def administers(
    app: typer.Typer, name: str, *, edits: bool = False, before: Before | None = None
) -> Callable[[Callable[Concatenate[Site, P], Answer | Pages]], Callable[..., None]]:
    """Registers a function of a site as the command `name`.

    With `edits`, it changes a thing that is there, and `--if-match` says which state of it. `before` is asked first,
    with the command's own options: what it refuses needs no service and no key, and what it answers is the answer.
    """

    def register(command: Callable[Concatenate[Site, P], Answer | Pages]) -> Callable[..., None]:
        wrapped = on_site(command, edits=edits, before=before)
        app.command(name)(wrapped)
        return wrapped

    return register


def on_site(
    command: Callable[Concatenate[Site, P], Answer | Pages],
    *,
    edits: bool = False,
    before: Before | None = None,
) -> Callable[..., None]:
    """The function with the common options in place of its site, printing its answer."""

    @functools.wraps(command)
    def run(
        *args: Any,
        url: str,
        key_file: Path,
        ca_file: Path | None,
        as_json: bool,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> None:
        try:
            if before is not None and (found := before(**options)) is not None:
                show(found, as_json=as_json)
                return
            site = replace(
                connect(url, key_file, ca_file), if_match=if_match, idempotency_key=idempotency_key
            )
            show(command(site, *args, **options), as_json=as_json)
        except ProblemAnswered as error:
            _explain(error)
            unavailable = error.status >= 502
            raise typer.Exit(EXIT_UNAVAILABLE if unavailable else EXIT_REFUSED) from None
        except OutOfReach as error:
            reason = REASONS[Reason.SERVICE_UNAVAILABLE]
            next_step = "Check --url and --ca-file, and that 'idmap serve' is running."
            if error.key is not None:
                next_step = (
                    "The change may have been made. Repeat the command with "
                    f"--idempotency-key {error.key}: it is not made twice."
                )
            show_problem(
                sentence=reason.sentence,
                code=Reason.SERVICE_UNAVAILABLE,
                detail=str(error),
                next_step=next_step,
            )
            raise typer.Exit(EXIT_UNAVAILABLE) from None
        except IdmapError as error:
            show_problem(
                sentence=error.sentence,
                code=error.reason,
                detail=error.detail,
                next_step=error.next_step,
            )
            usage = isinstance(error, InvalidInput)
            raise typer.Exit(EXIT_USAGE if usage else EXIT_REFUSED) from None

    own = inspect.signature(command, eval_str=True)
    parameters = [
        *list(own.parameters.values())[1:],
        _option("url", Url, DEFAULT_URL),
        _option("key_file", KeyFile, DEFAULT_KEY_FILE),
        _option("ca_file", CaFile, None),
        _option("as_json", AsJson, False),
    ]
    if edits:
        parameters.append(_option("if_match", IfMatch, None))
    if "reason" in own.parameters:
        parameters.append(_option("idempotency_key", Key, None))
    parameters.sort(key=lambda parameter: parameter.kind)
    run.__signature__ = own.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]  # read by typer
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__  # typer would look through to the inner signature
    return run


def _option(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise InvalidInput(
            Reason.REQUEST_INVALID, f"--ca-file {ca_file}: {error.strerror or error}"
        ) from None


def _decoded(url: str, answer: httpx2.Response) -> Any:
    try:
        document = answer.json()
    except ValueError:
        raise OutOfReach(f"{url}: answered {answer.status_code}, not as idmap does") from None
    if answer.is_success:
        return document
    if isinstance(document, dict) and "code" in document:
        raise ProblemAnswered(answer.status_code, document)
    raise OutOfReach(f"{url}: answered {answer.status_code}, not as idmap does")


def _explain(error: ProblemAnswered) -> None:
    problem = error.problem
    show_problem(
        sentence=str(problem.get("title", "")),
        code=str(problem.get("code", "")),
        detail=str(problem.get("detail", "")),
        next_step=str(problem.get("next_step", "")),
        reference=str(problem.get("correlation_id", "")),
    )
