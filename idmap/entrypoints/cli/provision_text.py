"""How a provisioning run reads on a terminal or in a mail from cron."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, assert_never

from rich.console import Console
from rich.table import Table
from rich.text import Text

from idmap.application.ports import RunRecord
from idmap.application.provision_report import Outcome, ProvisionReport
from idmap.domain.accounts import AccountTerms
from idmap.domain.groups import PRIVATE_GROUP, Group
from idmap.domain.guard import GuardReport
from idmap.domain.plans import (
    Change,
    ChangeShell,
    CutGrace,
    CutTerms,
    ExtendTerms,
    JoinAccount,
    JoinGroups,
    KeepGroups,
    LeaveAccount,
    LeaveGroups,
    OpenAccount,
    OpenGroup,
    Plan,
    RestoreAccount,
    StartGrace,
    StartMembershipGrace,
    SuspendAccount,
    SuspendDenied,
)
from idmap.domain.reasons import REASONS

SHOWN_CHANGES: Final = 200
"""More than anybody reads; `--json` has them all."""

_SHOWN_NOTES: Final = 20

_HEADLINES: Final = {
    Outcome.APPLIED: "Applied.",
    Outcome.NOTHING_TO_DO: "Nothing to do: accounts and groups are as they should be.",
    Outcome.STOPPED: "Stopped. Nothing was changed.",
    Outcome.FAILED: "Failed. Nothing was changed.",
    Outcome.PLANNED: "Dry run. Nothing was kept.",
}


def print_report(console: Console, report: ProvisionReport) -> None:
    """The whole report: what happened, who was asked, every change, the guard, the next step."""
    console.print(_HEADLINES[report.outcome])
    if report.reason is not None:
        console.print(f"{REASONS[report.reason].sentence} [{report.reason}]")
        if report.detail:
            console.print(f"  {report.detail}", soft_wrap=True)
    console.print(f"Run {report.run_id}, planned for {_moment(report.planned_at)}")
    _print_sources(console, report)
    if report.plan is not None:
        _print_plan(console, report.plan)
    if report.guard is not None:
        _print_guard(console, report.guard)
    if report.awaiting_approval:
        console.print()
        console.print(f"Waiting for approval: {report.awaiting_approval} accounts")
    if report.differences:
        console.print()
        console.print(
            f"Tokens and sources disagree about {report.differences} memberships: idmap provision differences",
            soft_wrap=True,
        )
    _print_some(console, "Notes", report.notes, _SHOWN_NOTES)
    console.print()
    console.print(f"Next: {report.next_step}", soft_wrap=True)


def print_runs(console: Console, runs: Iterable[RunRecord]) -> None:
    """One line per run."""
    table = _table("run", "started (UTC)", "seconds", "outcome", "changes", "reason")
    for run in runs:
        seconds = "" if run.finished is None else str(run.finished - run.started)
        counts = (run.plan or {}).get("counts", {})
        table.add_row(
            run.run_id,
            _moment(run.started),
            seconds,
            run.outcome,
            ", ".join(f"{count} {kind}" for kind, count in counts.items()),
            (run.reason or "").partition(":")[0],
        )
    if table.row_count:
        console.print(table)
    else:
        console.print("No run yet.")


def _print_sources(console: Console, report: ProvisionReport) -> None:
    if not report.sources:
        return
    table = _table("source", "issuer", "groups", "people", "inactive", "unreadable")
    for one in report.sources:
        numbers = (one.groups, one.people, one.inactive, one.unreadable)
        table.add_row(one.source, one.issuer, *(str(number) for number in numbers))
    console.print()
    console.print(table)


def _print_plan(console: Console, plan: Plan) -> None:
    console.print()
    if not plan.changes:
        console.print("Plan: no changes")
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in plan.counts().items())
    console.print(f"Plan: {counts}")
    table = _table("change", "who", "what")
    for change in plan.changes[:SHOWN_CHANGES]:
        table.add_row(change.KIND, *_who_and_what(change))
    console.print(table)
    if len(plan.changes) > SHOWN_CHANGES:
        console.print(f"… and {len(plan.changes) - SHOWN_CHANGES} more; --json has them all")
    console.print(f"Hash: {plan.digest}", soft_wrap=True)


def _print_guard(console: Console, guard: GuardReport) -> None:
    verdict = "stops this plan" if guard.stopped_by else "passes"
    console.print()
    console.print(
        f"Guard: {verdict}; {guard.removals} of {guard.population} usable accounts lose something, "
        f"{guard.allowed} may"
    )
    for cause in guard.stopped_by:
        console.print(f"  {cause}", soft_wrap=True)


def _print_some(console: Console, title: str, lines: Sequence[str], most: int) -> None:
    if not lines:
        return
    console.print()
    console.print(f"{title}:")
    for line in lines[:most]:
        console.print(f"  {line}", soft_wrap=True)
    if len(lines) > most:
        console.print(f"  … and {len(lines) - most} more; --json has them all")


def _who_and_what(change: Change) -> tuple[str, str]:
    match change:
        case OpenGroup():
            return str(change.group), f"as {change.spelled or 'a name from its number'}"
        case OpenAccount():
            otherwise = "a name from its number"
            if change.counter is not None:
                otherwise = f"the next name of {change.counter.prefix}"
            name = change.spelled or otherwise
            groups = _paths((change.primary_group, *change.secondary_groups))
            more = ", shared" if change.shared else ""
            more += ", pending approval" if change.pending else ""
            return str(change.identity), f"as {name}, in {groups}, by rule {change.rule_id}{more}"
        case RestoreAccount():
            return change.username, "active again, with everything it had"
        case StartGrace():
            return change.username, f"usable to the end of {change.until}"
        case SuspendAccount():
            return change.username, "grace has passed"
        case StartMembershipGrace():
            return change.username, f"{_paths(change.groups)}, kept to the end of {change.until}"
        case JoinGroups() | KeepGroups() | LeaveGroups():
            return change.username, _paths(change.groups)
        case ChangeShell():
            return change.username, change.shell
        case JoinAccount():
            return str(change.identity), f"into {change.username}, by rule {change.rule_id}"
        case LeaveAccount():
            instead = ", who gets another" if change.moves else ""
            return change.username, f"no longer used by {change.identity}{instead}"
        case CutGrace():
            until = f"usable to the end of {change.until}"
            return change.username, f"{until}: denied by rule {change.rule_id}"
        case SuspendDenied():
            return change.username, f"denied by rule {change.rule_id}"
        case ExtendTerms() | CutTerms():
            return change.username, _terms(change.terms)
        case _:
            assert_never(change)


def _terms(terms: AccountTerms) -> str:
    end = "no end" if terms.expires_on is None else f"last day {terms.expires_on}"
    local = f", local groups {', '.join(sorted(terms.local_groups))}" if terms.local_groups else ""
    return f"on node classes {str(terms.access) or 'none'}{local}, {end}"


def _paths(groups: Sequence[Group]) -> str:
    return ", ".join("a group of their own" if g == PRIVATE_GROUP else g.path for g in groups)


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at, tz=UTC):%Y-%m-%d %H:%M:%S}"


def _table(*headings: str) -> Table:
    """Columns that fold rather than cut: a name that is not whole is no name."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(Text(heading, style="bold"), overflow="fold")
    return table
