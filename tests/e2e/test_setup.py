"""`make setup`: on a prepared machine it downloads nothing and changes nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from demo_site.private_host import PROJECT

PACKAGES = PROJECT / "tools" / "packages.txt"


def test_a_second_setup_downloads_nothing(tmp_path: Path) -> None:
    for name in ("apt-get", "npm", "sudo", "curl", "wget"):
        stub = tmp_path / name
        stub.write_text(f"#!/bin/sh\necho {name} was called >&2\nexit 99\n")
        stub.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
    }
    done = subprocess.run(
        [PROJECT / "tools" / "setup"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "setup: ready\n"), done.stderr


def test_every_package_is_named_with_its_reason() -> None:
    groups = PACKAGES.read_text().split("\n\n")[1:]
    assert groups
    for group in groups:
        assert group.startswith("# ")


def test_no_address_of_a_registry_is_in_the_lock_files() -> None:
    lock = PROJECT / "tests" / "e2e" / "oidc_provider" / "package-lock.json"
    assert '"resolved"' not in lock.read_text()
    requirements = (PROJECT / "requirements" / "dev.txt").read_text()
    assert "--index-url" not in requirements
    assert "--find-links" not in requirements
