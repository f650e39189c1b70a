"""The administrators' side of the REST door: one connection, one decorator for commands.

`@administers(app, "list")` turns a function of a `Site` into a Typer command with `--url`, `--key-file`,
`--ca-file` and `--json`, prints what it returns and turns failures into exit codes: 1 refused, 2 wrong usage, 4
service out of reach. Plain http is for loopback only; redirects are not followed, so the key goes nowhere else.
"""

from __future__ import annotations

import functools
import inspect
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import httpx2
import typer

from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.issuers import is_loopback_url
from idmap.domain.reasons import REASONS, Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.cli.output import Answer, show, show_problem
from idmap.entrypoints.settings import read_secret_file

P = ParamSpec("P")

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 4

DEFAULT_URL: Final = "https://127.0.0.1:8443"
DEFAULT_KEY_FILE: Final = Path("/etc/idmap/admin.key")
TIMEOUT_SECONDS: Final = 60.0
"""A what-if over a large population takes its time; everything else is quick."""

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
    """The service did not answer, or not as idmap does."""


@dataclass(frozen=True, slots=True)
class Site:
    """A connection to one service with one credential."""

    url: str
    key: Secret
    ca_file: Path | None
    timeout: float = TIMEOUT_SECONDS

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
        """One request; the decoded answer."""
        headers: dict[bytes, bytes] = {
            b"Authorization": f"Bearer {self.key.reveal()}".encode("utf-8", "surrogateescape")
        }
        if reason is not None:
            headers[b"Idmap-Reason"] = reason.encode("utf-8", "replace")
        if if_match is not None:
            headers[b"If-Match"] = b'"%d"' % if_match
        params = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in (query or {}).items()
            if value is not None
        }
        try:
            with httpx2.Client(
                base_url=self.url,
                verify=tls_context(self.ca_file),
                timeout=self.timeout,
                trust_env=False,
            ) as client:
                answer = client.request(method, path, params=params, json=body, headers=headers)
        except httpx2.HTTPError as error:
            raise OutOfReach(f"{self.url}: {type(error).__name__}: {error}") from error
        return _decoded(self.url, answer)


def connect(url: str, key_file: Path, ca_file: Path | None) -> Site:
    """A site from the common options. Raises InvalidInput."""
    address = url.rstrip("/")
    if not address.startswith("https://") and not is_loopback_url(address):
        raise InvalidInput(
            Reason.REQUEST_INVALID, f"--url {url}: https is needed; plain http is for loopback only"
        )
    return Site(address, read_secret_file(key_file), ca_file)


def administers(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Site, P], Answer]], Callable[..., None]]:
    """Registers a function of a site as the command `name`."""

    def register(command: Callable[Concatenate[Site, P], Answer]) -> Callable[..., None]:
        wrapped = on_site(command)
        app.command(name)(wrapped)
        return wrapped

    return register


def on_site(command: Callable[Concatenate[Site, P], Answer]) -> Callable[..., None]:
    """The function with the common options in place of its site, printing its answer."""

    @functools.wraps(command)
    def run(
        *args: Any, url: str, key_file: Path, ca_file: Path | None, as_json: bool, **options: Any
    ) -> None:
        try:
            answer = command(connect(url, key_file, ca_file), *args, **options)
        except ProblemAnswered as error:
            _explain(error)
            unavailable = error.status >= 502
            raise typer.Exit(EXIT_UNAVAILABLE if unavailable else EXIT_REFUSED) from None
        except OutOfReach as error:
            reason = REASONS[Reason.SERVICE_UNAVAILABLE]
            show_problem(
                sentence=reason.sentence,
                code=Reason.SERVICE_UNAVAILABLE,
                detail=str(error),
                next_step="Check --url and --ca-file, and that 'idmap serve' is running.",
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
        show(answer, as_json=as_json)

    own = inspect.signature(command, eval_str=True)
    parameters = [
        *list(own.parameters.values())[1:],
        _option("url", Url, DEFAULT_URL),
        _option("key_file", KeyFile, DEFAULT_KEY_FILE),
        _option("ca_file", CaFile, None),
        _option("as_json", AsJson, False),
    ]
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
