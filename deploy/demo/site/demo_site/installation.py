"""Installs idmap's files in a private host, from `deploy/` and the C build, as a package would.

Edits what is there instead of replacing it, by the places that the files in `deploy/` name: a line
before the first `auth`, after the last `session`. So the host runs this distribution's own stacks.
"""

from __future__ import annotations

from pathlib import Path

from demo_site.private_host import PROJECT, PrivateHost, PrivateHostError

DEPLOY = PROJECT / "deploy"
BUILD = PROJECT / "build" / "c"
PREFIX = "/opt/idmap"
PAM_IDMAP = f"{PREFIX}/lib/security/pam_idmap.so"
SYSTEM_USERS = {"idmap": 890, "idmap-verify": 891}
"""The service's and the verifier's own users, from the distribution's system range."""


def statements(text: str) -> list[str]:
    """The lines of a configuration file that say something."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def with_line(stack: str, line: str, *, last: bool = False) -> str:
    """A PAM stack with `line` before the first line of its kind (or `last`, after all lines).

    `@include common-KIND` counts as a line of the kind. The same line twice is the same line.
    """
    kind = line.split()[0]
    lines = [old for old in stack.splitlines() if old != line]

    def is_kind(old: str) -> bool:
        words = old.split()
        return bool(words) and (
            words[0].lstrip("-") == kind or words[:2] == ["@include", f"common-{kind}"]
        )

    places = [number for number, old in enumerate(lines) if is_kind(old)]
    place = len(lines) if last or not places else places[0]
    return "\n".join([*lines[:place], line, *lines[place:]]) + "\n"


def with_source(nsswitch: str, databases: tuple[str, ...] = ("passwd", "group")) -> str:
    """nsswitch.conf with `idmap` directly after `files` for the databases."""
    lines = []
    for line in nsswitch.splitlines():
        words = line.split()
        if words and words[0].rstrip(":") in databases and "idmap" not in words:
            line = line.replace("files", "files idmap", 1)
        lines.append(line)
    return "\n".join(lines) + "\n"


def edit_stack(host: PrivateHost, name: str, arguments: str, *, last: bool = False) -> None:
    """Puts the line of `deploy/pam.d/NAME` into the host's stack of that name."""
    (line,) = statements((DEPLOY / "pam.d" / name).read_text())
    line = line.replace("@PAM_IDMAP@", f"{PAM_IDMAP} {arguments}".rstrip())
    path = f"/etc/pam.d/{name}"
    host.write(path, with_line(host.read(path), line, last=last))


def make_system_users(host: PrivateHost) -> None:
    """The users that packages would create."""
    for name, number in SYSTEM_USERS.items():
        host.add_user(name, number, system=True)


def make_directories(host: PrivateHost) -> None:
    """/etc/idmap, and /var/lib/idmap where the node files go."""
    for path, mode, owner in (
        ("/etc/idmap", "755", "root:root"),
        ("/var/lib/idmap", "755", "root:root"),
        ("/run/idmap", "755", "idmap-verify:idmap-verify"),
        ("/var/lib/idmap-server", "700", "idmap:idmap"),
    ):
        host.run(["install", "-d", "-m", mode, "-o", *owner.split(":")[:1], path]).check()
        host.run(["chown", owner, path]).check()


def install_commands(host: PrivateHost) -> None:
    """/opt/idmap/bin: the checkout's commands and, where built, the C programs. First on PATH."""
    venv_bin = PROJECT / ".venv" / "bin"
    for name in ("idmap", "idmap-agent", "idmap-verify"):
        target = venv_bin / name
        host.run(["mkdir", "-p", f"{PREFIX}/bin"]).check()
        host.run(["ln", "-sfn", str(target), f"{PREFIX}/bin/{name}"]).check()
    for name in ("idmap-compile", "idmap-principals"):
        if (BUILD / name).exists():
            host.install(BUILD / name, f"{PREFIX}/bin/{name}", mode=0o755)


def install_nss(host: PrivateHost) -> None:
    """libnss_idmap.so.2 where the dynamic linker finds it, and its place in nsswitch.conf."""
    host.install(BUILD / "libnss_idmap.so.2", f"{PREFIX}/lib/libnss_idmap.so.2", mode=0o755)
    host.write("/etc/ld.so.conf.d/idmap.conf", f"{PREFIX}/lib\n")
    host.run(["ldconfig", "-X"]).check()
    host.write("/etc/nsswitch.conf", with_source(host.read("/etc/nsswitch.conf")))


def install_pam(host: PrivateHost, arguments: str) -> None:
    """pam_idmap.so and its lines in the stacks; `arguments` go to the module, in every phase."""
    host.install(BUILD / "pam_idmap.so", PAM_IDMAP, mode=0o755)
    edit_stack(host, "sshd", arguments)
    edit_stack(host, "common-account", arguments)
    edit_stack(host, "common-session", "", last=True)


def install_idmap(host: PrivateHost, *, arguments: str = "window=200000-299999") -> None:
    """Everything of the node: users, directories, commands, NSS, PAM; not sshd (see `sshd`).

    Raises PrivateHostError when the C part is not built.
    """
    missing = [name for name in ("libnss_idmap.so.2", "pam_idmap.so") if not built(name)]
    if missing:
        raise PrivateHostError(f"not built: {', '.join(missing)}; run: make setup")
    make_system_users(host)
    make_directories(host)
    install_commands(host)
    install_nss(host)
    install_pam(host, arguments)


def built(name: str) -> Path | None:
    """Where the C artefact `name` is, or None."""
    path = BUILD / name
    return path if path.exists() else None
