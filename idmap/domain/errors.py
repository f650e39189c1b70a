"""The one tree of errors.

    IdmapError                    a reason code, a private detail, sometimes a place
    ├── Refused                   a credential, person or account was refused at a door
    │   └── TokenRefused          … by token verification; says whether the signature had been proved
    ├── InvalidInput              what a person wrote cannot be used (rules, ranges, settings, requests)
    ├── Conflict                  it was right when asked, and is not now (taken, stale, concurrent)
    ├── NotFound
    ├── SourceFailed              a source could not be read, or could not be proved complete
    ├── NodeInstallFailed         a snapshot or ban list was not installed; the last good one stays
    └── Unavailable               a party that is needed does not answer

Every error has a `reason`; the sentence and the next step for people come from `REASONS`.
`detail` is for the log and for authenticated administrators; it never holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from idmap.domain.reasons import REASONS, Reason


class IdmapError(Exception):
    """Something idmap can name. `str()` gives the code and the private detail, for logs."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    @property
    def more(self) -> Mapping[str, object]:
        """What else a problem document carries, for those who may see the detail; plain JSON."""
        return {}

    @property
    def sentence(self) -> str:
        """One sentence that may be shown to the person concerned."""
        return REASONS[self.reason].sentence

    @property
    def next_step(self) -> str:
        """What somebody can do about it."""
        return REASONS[self.reason].next_step

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


class Refused(IdmapError):
    """Nobody gets in (law 4)."""


class TokenRefused(Refused):
    """A token failed one check of the verifier.

    `proved` is true once the signature held: only then may the outside see the reason (law 11).
    """

    def __init__(self, reason: Reason, detail: str = "", *, proved: bool = False) -> None:
        super().__init__(reason, detail)
        self.proved = proved


class InvalidInput(IdmapError):
    """A person's input cannot be used; nothing was changed."""


class Conflict(IdmapError):
    """The state of things does not allow it now; nothing was changed."""


class NotFound(IdmapError):
    """The thing named does not exist."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.NOT_FOUND, detail)


class SourceFailed(IdmapError):
    """A source lied, stammered or was silent; nothing was changed (law 6)."""


class NodeInstallFailed(IdmapError):
    """What arrived at a node was not installed; the last good files stay."""


class Unavailable(IdmapError):
    """A party that is needed does not answer."""
