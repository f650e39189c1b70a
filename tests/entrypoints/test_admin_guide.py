"""docs/admin-api.md is true: each of its examples is run, in order, against a real service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.served import ROOT, served

GUIDE = ROOT / "docs" / "admin-api.md"
_EXPECTED = re.compile(r"^(?P<command>.*?)\s+# → (?P<output>.+)$")


def _script() -> tuple[str, list[tuple[str, str]]]:
    """Every line of every block; a line that says what it prints writes that to a file of its own."""
    lines, expected = ["set -u"], []
    for block in re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            found = _EXPECTED.match(line)
            if found is None:
                lines.append(line)
                continue
            lines.append(f"{{ {found['command']}\n}} > {len(expected)}.out 2> {len(expected)}.err")
            expected.append((found["command"], found["output"]))
    return "\n".join(lines), expected


@pytest.mark.timeout(450)
def test_every_example_prints_what_the_guide_says(tmp_path: Path) -> None:
    """The first line of its output begins so; where one line is promised, it is that one."""
    script, expected = _script()
    assert len(expected) >= 15
    commands = tmp_path / "commands"
    commands.mkdir()
    program = commands / "idmap"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m idmap "$@"\n')
    program.chmod(0o755)
    with served(tmp_path) as site:
        environment = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "IDMAP_URL": site.url,
            "IDMAP_KEY_FILE": str(site.key_file),
            "LC_ALL": "C.UTF-8",
        }
        subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, timeout=400, check=False
        )
    for number, (command, output) in enumerate(expected):
        printed = (tmp_path / f"{number}.out").read_text(encoding="utf-8")
        said = (tmp_path / f"{number}.err").read_text(encoding="utf-8")
        assert printed.startswith(output), (command, printed, said)
        if output[0] not in "{U":
            assert printed.strip() == output, command
