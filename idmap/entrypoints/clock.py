"""The system's clock, the only one in the product that is not an argument."""

from __future__ import annotations

import time


def system_clock() -> int:
    """Whole seconds since the epoch."""
    return int(time.time())
