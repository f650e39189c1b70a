"""The built-in nightly schedule: when the next run is due, and a loop that no failing run can end.

`next_run` is pure: a cron expression in a time zone, with cronsim's rules for the hours that clocks skip or
repeat (Debian cron's). A run missed while nothing was running is made up for once, however many
were missed. Which of several replicas runs is not decided here: the run itself holds the lease, and
the others notice afterwards that it has been done.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from threading import Event
from typing import Final
from zoneinfo import ZoneInfo

import structlog
from cronsim import CronSim, CronSimError

from idmap.application.ports import Clock
from idmap.application.provision_report import Outcome, ProvisionReport
from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.reasons import Reason

LONGEST_SLEEP_SECONDS: Final = 60
"""So a clock that was set, or a run that somebody started by hand, is noticed within a minute."""


class ScheduleEvent(StrEnum):
    """The names of everything the schedule logs."""

    WAITING = "schedule_waiting"
    MISSED = "schedule_missed_run"
    FINISHED = "provision_finished"
    FAILED = "provision_failed"
    SKIPPED = "provision_skipped"
    BROKE = "provision_broke"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When runs are due."""

    expression: str
    zone: ZoneInfo

    def next_run(self, after: int) -> int:
        """The first due time later than `after`; both in seconds since the epoch."""
        begin = datetime.fromtimestamp(after, tz=UTC).astimezone(self.zone)
        return int(next(CronSim(self.expression, begin)).timestamp())


def parse_schedule(expression: str, time_zone: str) -> Schedule:
    """A schedule from settings. Raises InvalidInput(CONFIGURATION_INVALID) naming the setting."""
    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise _invalid("time_zone", time_zone) from error
    schedule = Schedule(expression, zone)
    try:
        schedule.next_run(0)
    except (CronSimError, StopIteration) as error:
        raise _invalid("cron", expression) from error
    return schedule


def run_schedule(
    schedule: Schedule,
    run: Callable[[], ProvisionReport],
    last_started: Callable[[], int | None],
    *,
    clock: Clock,
    stop: Event,
) -> None:
    """Runs until `stop` is set. `last_started` is the start of the newest run on record, by whomever.

    Without a run on record, the first one is due at the next time of the schedule, not at once.
    """
    log = structlog.get_logger("idmap.schedule")
    began = clock()
    after: int | None = None
    while not stop.is_set():
        try:
            newest = last_started()
            done = max(began if newest is None else newest, after or 0)
            due, now = schedule.next_run(done), clock()
            if now < due:
                log.debug(ScheduleEvent.WAITING, due=due)
            else:
                if due < began:
                    log.info(ScheduleEvent.MISSED, due=due)
                after = now  # before running: whatever happens, this run has had its chance
                _report(log, run())
        except IdmapError as error:
            skipped = error.reason is Reason.ALREADY_RUNNING
            event = ScheduleEvent.SKIPPED if skipped else ScheduleEvent.FAILED
            log.warning(event, reason=str(error.reason), detail=error.detail)
            due = clock() + LONGEST_SLEEP_SECONDS
        except Exception as error:
            # A fault of ours must not end the schedule. Its text may hold anything, so kind and place are logged.
            log.error(  # noqa: TRY400 - no traceback: with locals it could show what must not be logged
                ScheduleEvent.BROKE,
                reason=str(Reason.INTERNAL_ERROR),
                error=type(error).__name__,
                where=_place(error),
            )
            due = clock() + LONGEST_SLEEP_SECONDS
        stop.wait(min(max(due - clock(), 1), LONGEST_SLEEP_SECONDS))


def _report(log: structlog.typing.FilteringBoundLogger, report: ProvisionReport) -> None:
    facts = {
        "run": report.run_id,
        "outcome": str(report.outcome),
        "changes": {} if report.plan is None else report.plan.counts(),
        "plan": None if report.plan is None else report.plan.digest,
        "unreadable": sum(numbers.unreadable for numbers in report.sources),
    }
    if report.outcome in {Outcome.FAILED, Outcome.STOPPED}:
        log.error(ScheduleEvent.FAILED, reason=str(report.reason), detail=report.detail, **facts)
    else:
        log.info(ScheduleEvent.FINISHED, **facts)


def _place(error: BaseException) -> str:
    """File and line where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{frames[0].filename}:{frames[0].lineno}" if frames else ""


def _invalid(setting: str, value: str) -> InvalidInput:
    return InvalidInput(Reason.CONFIGURATION_INVALID, f"schedule.{setting}: {value!r} is not one")
