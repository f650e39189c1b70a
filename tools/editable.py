"""Installs this checkout into `.venv` as a link: nothing is built and nothing is downloaded.

What `pip install --editable .` does (PEP 660) needs the build backend; a pure package needs only
a path file, the metadata directory (so that `importlib.metadata` knows version and entry points)
and the commands. This writes those from `pyproject.toml`, and only when they differ. It does not
install dependencies: `tools/setup` does, from the hash-pinned requirements.
"""

from __future__ import annotations

import sys
import sysconfig
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DEMO = TOP / "deploy" / "demo"
PATHS = (TOP, DEMO / "site", DEMO / "iam")
"""Importable from tests and the demo: the package, the private host, the simulated IAM."""


def write_if_changed(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes `text` unless the file already says exactly that."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    path.chmod(mode)


def command_text(target: str) -> str:
    """The launcher of one `[project.scripts]` entry `module:function`."""
    module, function = target.split(":")
    return (
        f"#!{sys.executable}\n"
        "import sys\n\n"
        f"from {module} import {function}\n\n"
        f"sys.exit({function}())\n"
    )


def main() -> None:
    """Writes path file, metadata and commands into the running interpreter's environment."""
    if sys.prefix == sys.base_prefix:
        sys.exit("tools/editable.py: run me with .venv/bin/python")
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    scripts: dict[str, str] = project.get("scripts", {})
    site = Path(sysconfig.get_path("purelib"))
    commands = Path(sysconfig.get_path("scripts"))

    stem = name.replace("-", "_")
    for stale in site.glob(f"{stem}-*.dist-info"):
        if stale.name != f"{stem}-{version}.dist-info":
            for file in stale.iterdir():
                file.unlink()
            stale.rmdir()
    info = site / f"{stem}-{version}.dist-info"
    write_if_changed(site / f"{stem}.pth", "".join(f"{path}\n" for path in PATHS))
    write_if_changed(
        info / "METADATA",
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        f"Requires-Python: {project['requires-python']}\n",
    )
    write_if_changed(info / "INSTALLER", "tools/editable.py\n")
    entries = "".join(f"{script} = {target}\n" for script, target in scripts.items())
    write_if_changed(info / "entry_points.txt", f"[console_scripts]\n{entries}")
    for script, target in scripts.items():
        write_if_changed(commands / script, command_text(target), 0o755)
    files = [f"{stem}.pth", *(f"{info.name}/{part.name}" for part in sorted(info.iterdir()))]
    recorded = sorted({*files, f"{info.name}/RECORD"})
    write_if_changed(info / "RECORD", "".join(f"{file},,\n" for file in recorded))


if __name__ == "__main__":
    main()
