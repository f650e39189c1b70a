"""Structured logs: one event per thing that happened, JSON lines on standard error.

Event names are a closed list per module, keys come from the glossary, and a `Secret` prints as `<secret>`
wherever it is passed by mistake (law 9).
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(*, process: str, human: bool | None = None) -> None:
    """Sets the process's log up once. `human`: readable lines; by default when standard error is a terminal."""
    readable = sys.stderr.isatty() if human is None else human
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if readable
        else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)
