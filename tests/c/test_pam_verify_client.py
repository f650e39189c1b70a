"""The protocol client of pam_idmap against garbage, under AddressSanitizer and UBSan."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.c.pam_host import TREE, compile_driver


def test_no_reply_however_damaged_breaks_the_client(tmp_path: Path) -> None:
    """200 000 replies to the parser and 200 over a socket; both kinds of outcome must occur."""
    program = compile_driver(
        "pam_reply_garbage",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=undefined",
        sources=(TREE / "pam_module" / "verify_client.c",),
    )
    result = subprocess.run(
        [str(program), str(tmp_path / "s"), "200"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    counts = dict(line.split("\t") for line in result.stdout.splitlines())
    for kind in ("parsed-sound", "parsed-refused", "socket-replied", "socket-absent"):
        assert int(counts[kind]) > 0, counts
    for kind in ("socket-malformed", "socket-wrong_peer"):
        assert int(counts[kind]) > 0, counts
    assert counts["socket-late"] == "0"
