"""`idmap provision`: run once now, look at the runs so far, or at what tokens and sources do not agree about.

Standard output carries the report (text, or JSON with `--json`) and nothing else; progress goes to standard error, and
only to a terminal. The exit code says what happened (`EXIT_CODES`), so that a script need not read the text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from idmap.application.ports import Clock, Progress, RunRecord
from idmap.application.provision import RunRequest, beginning_of, run_provision, silent
from idmap.application.provision_report import ProvisionReport, report_as_json
from idmap.domain.decision import day_of
from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints import bootstrap
from idmap.entrypoints.cli.lists import After, IssuerOption, Limit, Whole
from idmap.entrypoints.cli.output import show, show_problem
from idmap.entrypoints.cli.provision_differences import (
    AccountOption,
    GroupOption,
    KindOption,
    pages_of_differences,
)
from idmap.entrypoints.cli.provision_text import print_report, print_runs
from idmap.entrypoints.clock import system_clock
from idmap.entrypoints.settings import ServiceSettings, load_service_settings
from idmap.entrypoints.work.runner import new_run_id

_R = Reason
EXIT_CODES: Final = {
    _R.GUARD_STOPPED: 3,
    _R.PLAN_STALE: 3,
    _R.SOURCE_INCOMPLETE: 4,
    _R.SOURCE_UNAVAILABLE: 4,
    _R.SOURCE_REFUSED: 4,
    _R.SOURCE_GROUP_MISSING: 4,
    _R.SOURCE_LACKS_FACTS: 4,
    _R.ALREADY_RUNNING: 5,
    _R.CONFIGURATION_INVALID: 2,
    _R.REQUEST_INVALID: 2,
}
"""Every other reason is 1. A usage error is 2, as Typer has it."""

app = typer.Typer(
    name="provision",
    help="Bring accounts and groups in line with what the sources say and the rules allow.",
    no_args_is_help=True,
)

_Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file; default /etc/idmap/idmap.toml."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command("run")
def run(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read, plan and judge; keep nothing.")
    ] = False,
    approve: Annotated[
        str | None,
        typer.Option(
            "--approve", metavar="HASH", help="Let exactly this plan pass the guard; its full hash."
        ),
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of",
            formats=["%Y-%m-%d"],
            metavar="DATE",
            help="Plan as if it were that later day (UTC); keeps nothing.",
        ),
    ] = None,
    as_json: _Json = False,
    config: _Config = None,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="No progress bar, even on a terminal.")
    ] = False,
) -> None:
    """Read the sources, plan, let the guard judge, apply.

    Nothing is kept unless every source was read completely and the guard lets the plan pass. A plan the guard stops
    is printed with its hash: read it, and run again with --approve HASH if it is right.

    Exit code: 0 done or nothing to do; 2 wrong usage or settings; 3 stopped by the guard (or, with --dry-run,
    it would be); 4 a source failed; 5 another run is under way; 1 anything else.
    """
    with _explained(as_json):
        settings = load_service_settings(config)
        clock = system_clock
        request = RunRequest(
            run_id=new_run_id(clock()),
            why="idmap provision run" + (f", approving {approve[:16]}" if approve else ""),
            dry_run=dry_run,
            approve=approve.lower() if approve else None,
            as_of=None if as_of is None else as_of.date(),
        )
        show = sys.stderr.isatty() and not no_progress and not as_json
        report = _run(settings, request, clock, show)
    if as_json:
        _print_json(report_as_json(report))
    else:
        print_report(_console(), report)
    raise typer.Exit(_exit_code(report))


@app.command("history")
def history(
    *,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="How many, newest first.")
    ] = 20,
    as_json: _Json = False,
    config: _Config = None,
) -> None:
    """Show the runs so far, newest first. Dry runs leave no trace and are not among them."""
    with _explained(as_json):
        registry = bootstrap.open_registry(load_service_settings(config))
        try:
            with registry.read() as reader:
                runs = reader.runs(limit=limit)
        finally:
            registry.close()
    if as_json:
        _print_json([_run_as_json(one) for one in runs])
    else:
        print_runs(_console(), runs)


@app.command("differences")
def differences(
    *,
    issuer: IssuerOption = None,
    group: GroupOption = None,
    kind: KindOption = None,
    account: AccountOption = None,
    after: After = None,
    limit: Limit = 100,
    whole: Whole = False,
    as_json: _Json = False,
    config: _Config = None,
) -> None:
    """List memberships that a token and a source do not agree about.

    Compared are groups that the rules speak of and that a source lists, with tokens shown at the API door and to
    components. Nothing follows from it by itself: look at the source, or at what the issuer puts into its tokens.
    """
    with _explained(as_json):
        registry = bootstrap.open_registry(load_service_settings(config))
        try:
            pages = pages_of_differences(
                registry,
                issuer=issuer,
                group=group,
                kind=kind,
                account=account,
                after=after,
                limit=limit,
                whole=whole,
            )
            show(pages, as_json=as_json)
        finally:
            registry.close()


def _run(
    settings: ServiceSettings, request: RunRequest, clock: Clock, show_progress: bool
) -> ProvisionReport:
    registry = bootstrap.open_registry(settings)
    try:
        sources = bootstrap.sources(settings, _sources_clock(request, clock))
        limits = bootstrap.guard_limits(settings)
        with _progress(show_progress) as progress:
            return run_provision(registry, sources, limits, request, clock=clock, progress=progress)
    finally:
        registry.close()


def _sources_clock(request: RunRequest, clock: Clock) -> Clock:
    """A source decides by the time planned for whether a membership's end is past."""
    if request.as_of is None or request.as_of <= day_of(clock()):
        return clock
    planned = beginning_of(request.as_of)
    return lambda: planned


@contextmanager
def _progress(show: bool) -> Iterator[Progress]:
    if not show:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield advance


@contextmanager
def _explained(as_json: bool) -> Iterator[None]:
    """Turns an error that idmap can name into its sentence, its next step and an exit code."""
    try:
        yield
    except IdmapError as error:
        _give_up(error, as_json)


def _give_up(error: IdmapError, as_json: bool) -> NoReturn:
    if as_json:
        _print_json(
            {"reason": str(error.reason), "detail": error.detail, "next_step": error.next_step}
        )
    show_problem(
        sentence=error.sentence,
        code=str(error.reason),
        detail=error.detail,
        next_step=error.next_step,
    )
    default = 2 if isinstance(error, InvalidInput) else 1
    raise typer.Exit(EXIT_CODES.get(error.reason, default))


def _exit_code(report: ProvisionReport) -> int:
    if report.reason is not None:
        return EXIT_CODES.get(report.reason, 1)
    if report.guard is not None and report.guard.stopped_by and report.keeps_nothing:
        return EXIT_CODES[Reason.GUARD_STOPPED]
    return 0


def _run_as_json(run: RunRecord) -> dict[str, Any]:
    return asdict(run)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=True, default=str))


def _console() -> Console:
    """Text as it is: what comes from a source is never read as markup. 100 columns when nobody's terminal says."""
    width = None if sys.stdout.isatty() else 100
    return Console(width=width, markup=False, highlight=False, emoji=False)
