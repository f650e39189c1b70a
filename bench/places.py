"""Where the parts of a measurement lie: what was built here, and the scratch of the private host."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
C_BUILD = PROJECT / "build" / "bench" / "c"
DRIVER = C_BUILD / "driver"
FIRST = C_BUILD / "first"
BARE = C_BUILD / "libnss_bare.so.2"
BARE_BUILD = C_BUILD / "bare_build"
OURS = PROJECT / "build" / "c" / "libnss_idmap.so.2"
COMPILER = PROJECT / "build" / "c" / "idmap-compile"
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
"""Where Debian puts modules of this architecture."""
SCRATCH = Path("/var/lib/bench")
"""In the private host, in memory."""
