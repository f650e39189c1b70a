"""What the signer remembers across restarts: its last signatures, in a file of its own.

Written and synced *before* a signature leaves, so that no crash lets revision or counter go back. A missing file means
that nothing was ever signed; a file that cannot be read stops the signer, because forgetting is what an attacker wants.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from idmap.adapters.snapshot.durable import write_durably
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints.sign.refusals import SignedBefore


class SignerState:
    """The file, and its newest content."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInput(CONFIGURATION_INVALID) when the file is there and cannot be used."""
        self._path = path
        self.before = _read(path)

    def remember(self, before: SignedBefore) -> None:
        """Keeps it durably. Raises OSError with nothing remembered."""
        if before != self.before:
            write_durably(self._path, json.dumps(asdict(before)).encode("ascii"), mode=0o600)
            self.before = before


def _read(path: Path) -> SignedBefore:
    try:
        value = json.loads(path.read_bytes())
        if not all(type(number) is int and number >= 0 for number in value.values()):
            raise ValueError
        return SignedBefore(**value)
    except FileNotFoundError:
        return SignedBefore()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            Reason.CONFIGURATION_INVALID,
            f"{path}: {type(error).__name__}; restore it from a backup, or put the last published "
            "revision and ban counter into it",
        ) from None
