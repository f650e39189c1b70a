"""How many examples the slow property tests try: all of them in `make test-all`, some in `make test`."""

from __future__ import annotations

import os
from typing import Final

_SHARE: Final = float(os.environ.get("IDMAP_EXAMPLES", "0.4"))


def examples(many: int) -> int:
    """That many, or the share of them that IDMAP_EXAMPLES asks for; at least three."""
    return max(3, round(many * _SHARE))
