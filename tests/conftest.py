"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("idmap", deadline=None)
settings.load_profile("idmap")
"""No absolute timing is asserted: shared machines are slow at times."""
