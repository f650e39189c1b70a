"""`idmap doctor`: looks at this host, says what is wrong and what to do about it.

Checks what is configured here: the service where there is an idmap.toml, the node where there is an agent.toml. Reads
only; prints nothing secret. Each check is one function that gives what it saw or raises with what is wrong.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import pam
import typer

from idmap.adapters.node_files.bans_db import read_bans
from idmap.adapters.node_files.posix_header import read_posix_header
from idmap.adapters.node_files.refused import read_refused
from idmap.adapters.node_files.trust_db import TrustDb
from idmap.adapters.snapshot.sign_client import SocketSigner
from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.domain.errors import IdmapError
from idmap.domain.manifest import MANIFEST_TYPE, parse_envelope, parse_manifest
from idmap.entrypoints import bootstrap
from idmap.entrypoints.clock import system_clock
from idmap.entrypoints.settings import (
    AGENT_FILE,
    SERVICE_FILE,
    AgentSettings,
    ServiceSettings,
    load_agent_settings,
    load_service_settings,
    read_secret_file,
)

NSSWITCH: Final = Path("/etc/nsswitch.conf")
PAM_SSHD: Final = Path("/etc/pam.d/sshd")
NSCD: Final = Path("/run/nscd/socket")


class Unwell(Exception):
    """Something is wrong; the second argument is what to do about it."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what)
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and what came of it."""

    check: str
    healthy: bool
    saw: str
    next_step: str


def doctor_command(
    config: Annotated[
        Path, typer.Option("--config", help="The service's settings, where this is its host.")
    ] = SERVICE_FILE,
    agent_config: Annotated[
        Path, typer.Option("--agent-config", help="The node's settings, where this is a node.")
    ] = AGENT_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this host, as the service's, as a node, or both; exit status 1 when something is wrong.

    Run it as root: the files it looks at are not everybody's.
    """
    findings = list(_examine(config, agent_config))
    if as_json:
        rows = [{name: getattr(f, name) for name in Finding.__slots__} for f in findings]
        typer.echo(json.dumps(rows, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{'ok   ' if finding.healthy else 'WRONG'} {finding.check}: {finding.saw}")
            if not finding.healthy:
                typer.echo(f"      {finding.next_step}")
    if not findings:
        typer.echo(f"Neither {config} nor {agent_config} exists here.", err=True)
    raise typer.Exit(0 if findings and all(f.healthy for f in findings) else 1)


def _examine(config: Path, agent_config: Path) -> Iterator[Finding]:
    if config.exists():
        yield _look("service settings", lambda: str(load_service_settings(config).realm))
        try:
            service = load_service_settings(config)
        except IdmapError:
            pass
        else:
            yield _look("registry", lambda: _registry(service))
            yield _look("source secrets", lambda: _source_secrets(service))
            yield _look("signer", lambda: _signer(service))
            yield _look("published snapshot", lambda: _published(service))
    if agent_config.exists():
        yield _look("node settings", lambda: load_agent_settings(agent_config).node_class)
        try:
            node = load_agent_settings(agent_config)
        except IdmapError:
            pass
        else:
            yield _look("posix.db", lambda: _posix(node))
            yield _look("bans.db", lambda: _bans(node))
            yield _look("refused.json", lambda: _refused(node))
            yield _look("trust.db", lambda: _trust(node))
            yield _look("nsswitch.conf", _nsswitch)
            yield _look("nscd", _nscd)
            yield _look("verifier", lambda: _verifier(node))
            yield _look("pam.d/sshd", _pam_stack)
            yield _look("PAM conversation", _pam_conversation)


def _look(check: str, action: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, action(), "")
    except Unwell as unwell:
        return Finding(check, False, str(unwell), unwell.next_step)
    except IdmapError as error:
        return Finding(check, False, f"{error.detail} [{error.reason}]", error.next_step)
    except OSError as error:
        return Finding(check, False, f"{error.filename}: {error.strerror}", "Run it as root.")


def _registry(settings: ServiceSettings) -> str:
    registry = bootstrap.open_registry(settings)
    try:
        with registry.read() as reader:
            leaves = reader.verify_changes()
            short = [
                f"range {s.range.name} has {s.free} of {s.size} numbers left"
                for s in reader.ranges()
                if s.is_low
            ]
    finally:
        registry.close()
    if short:
        raise Unwell("; ".join(short), "Add a range with 'idmap ranges add'.")
    return f"opens; {leaves} changes on record, chain holds"


def _source_secrets(settings: ServiceSettings) -> str:
    for source in settings.sources.values():
        read_secret_file(source.client_secret_file)
    return f"{len(settings.sources)} readable, 0600"


def _signer(settings: ServiceSettings) -> str:
    return ", ".join(sorted(SocketSigner(settings.sign.socket).public_keys()))


def _published(settings: ServiceSettings) -> str:
    data = DirectorySnapshotStore(settings.snapshot.directory).read_document("manifest")
    if data is None:
        raise Unwell("nothing was published yet", "Start 'idmap work' and look at its log.")
    manifest = parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload)
    left = manifest.not_after - system_clock()
    if left < settings.snapshot.lifetime_seconds // 2:
        raise Unwell(
            f"revision {manifest.revision} expires in {left} s", "Look at the log of 'idmap work'."
        )
    return f"revision {manifest.revision}, good for {left // 3600} h"


def _posix(settings: AgentSettings) -> str:
    header = read_posix_header(settings.files.directory / "posix.db")
    if header is None:
        raise Unwell("missing", "Run 'idmap-agent sync --once'.")
    if header.not_after and header.not_after < system_clock():
        raise Unwell(
            f"revision {header.revision} has expired",
            "Run 'idmap-agent status'; nobody is admitted, names still resolve.",
        )
    return f"revision {header.revision}, {header.users} accounts, {header.groups} groups"


def _bans(settings: AgentSettings) -> str:
    header = read_bans(settings.files.directory / "bans.db")
    if header is None:
        raise Unwell("missing: nobody is admitted", "Run 'idmap-agent sync --once'.")
    behind = system_clock() - header.signed_time
    if header.clock_skew:
        raise Unwell("this node's clock is ahead of the service's", "Repair time synchronisation.")
    if behind > 300:
        raise Unwell(f"the newest signed time is {behind} s old", "Run 'idmap-agent status'.")
    return f"counter {header.counter}, {len(header.bans)} bans, {max(behind, 0)} s old"


def _refused(settings: AgentSettings) -> str:
    refused = read_refused(settings.files.directory / "refused.json")
    if refused is None:
        return "none; no issuer and no token was ever banned"
    return f"{len(refused.issuers)} issuers and {len(refused.tokens)} tokens are banned"


def _trust(settings: AgentSettings) -> str:
    trust = TrustDb(settings.files.directory / "trust.db")
    try:
        return f"{trust.count_identities()} identities, revision {trust.revision()[0]}"
    finally:
        trust.close()


def _nsswitch() -> str:
    text = NSSWITCH.read_text(encoding="utf-8")
    for database in ("passwd", "group"):
        line = re.search(rf"^{database}:(.*)$", text, re.MULTILINE)
        sources = line.group(1).split() if line else []
        if "idmap" not in sources:
            raise Unwell(
                f"{database} does not ask idmap", f"Write '{database}: files idmap' there."
            )
        if "files" not in sources or sources.index("idmap") < sources.index("files"):
            raise Unwell(
                f"{database} asks idmap before files", "Put 'idmap' after 'files': local ones win."
            )
    return "files, then idmap"


def _nscd() -> str:
    if NSCD.exists():
        raise Unwell(
            "nscd is running and remembers absent names",
            "Stop nscd, or set its negative time-to-live for passwd and group to 0.",
        )
    return "not running"


def _verifier(settings: AgentSettings) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(settings.verify.socket))
        except OSError as error:
            raise Unwell(
                f"{settings.verify.socket}: {error.strerror or error}", "Start idmap-verify."
            ) from None
    return str(settings.verify.socket)


def _pam_stack() -> str:
    lines = [
        line.split("#")[0].split() for line in PAM_SSHD.read_text(encoding="utf-8").splitlines()
    ]
    ours = [words for words in lines if any("pam_idmap.so" in word for word in words)]
    if not any(words[0] == "auth" for words in ours):
        raise Unwell("no auth line with pam_idmap.so", "Add the line of deploy/pam.d/sshd.")
    if any("sufficient" in words for words in ours):
        raise Unwell(
            "pam_idmap.so is 'sufficient'", "Use [success=done user_unknown=ignore default=die]."
        )
    return "auth asks pam_idmap"


def _pam_conversation() -> str:
    """A real conversation for a name that cannot exist: the stack loads and refuses."""
    stack = pam.PamAuthenticator()
    name = "no-such-name:"
    if stack.authenticate(name, "x", service="sshd", resetcreds=False):
        raise Unwell("the stack let an unknown name in", "Close sshd and review /etc/pam.d/sshd.")
    if stack.code in {28, 4}:  # PAM_MODULE_UNKNOWN, PAM_SYSTEM_ERR
        raise Unwell(f"the stack is broken: {stack.reason}", "Look at the system's log.")
    return "an unknown name is refused"
