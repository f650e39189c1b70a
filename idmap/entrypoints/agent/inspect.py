"""What `idmap-agent status` and `idmap-agent verify` find out, as values; printing them is main.py's."""

from __future__ import annotations

import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from idmap.adapters.node_files.posix_header import without_superseded_word
from idmap.adapters.node_files.trust_db import TrustDb
from idmap.application.install import build_files
from idmap.application.install_bans import is_list, is_refused
from idmap.application.install_state import (
    NOTHING_REFUSED,
    Document,
    InstalledBans,
    InstalledPosix,
    RefusedCredentials,
)
from idmap.domain.errors import IdmapError, NodeInstallFailed
from idmap.domain.manifest import BanList, Manifest
from idmap.domain.reasons import REASONS, Reason
from idmap.entrypoints.agent.assemble import Agent

IN_CONTACT_SECONDS: Final = 60
"""A node whose newest signed time is older than this is out of contact."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    file: str
    reason: Reason
    detail: str


def status_report(agent: Agent) -> dict[str, Any]:
    """Everything an operator asks first, JSON-ready. Never raises for a damaged file: it says so."""
    findings: list[Finding] = []
    state = agent.files.read_state()
    posix = _read_posix(agent, findings)
    bans = _read_bans(agent, findings)
    refused = _read_refused(agent, findings)
    now = agent.clock()
    signed_time = max(state.signed_time, bans.signed_time if bans else 0)
    effective = max(now, signed_time)
    lag = max(0, now - signed_time) if signed_time else None
    failure = state.failure
    return {
        "realm": agent.realm,
        "node_class": agent.node_class,
        "revision": posix.revision if posix else None,
        "accounts": posix.users if posix else None,
        "groups": posix.groups if posix else None,
        "created": posix.created if posix else None,
        "age_seconds": max(0, effective - posix.created) if posix else None,
        "not_after": posix.not_after if posix else None,
        "expired": bool(posix and posix.not_after and effective > posix.not_after),
        "ban_counter": bans.counter if bans else None,
        "bans": len(bans.bans) if bans else None,
        "banned_issuers": [issuer for issuer, _ in refused.issuers] if refused else None,
        "banned_tokens": len(refused.tokens) if refused else None,
        "signed_time": signed_time or None,
        "heartbeat_at": state.heartbeat_at or None,
        "lag_seconds": lag,
        "in_contact": lag is not None and lag <= IN_CONTACT_SECONDS,
        "clock_skew": bool(bans and bans.clock_skew),
        "token_only": state.token_only,
        "elsewhere": state.elsewhere,
        "local_groups": _local_groups(agent, findings),
        "members": {
            "policy": str(agent.member_lists.policy),
            "above": agent.member_lists.above,
            "withheld": state.members_withheld,
        },
        "masked": [asdict(masked) for masked in state.masked],
        "unreadable": [asdict(finding) for finding in findings],
        "last_error": None
        if failure is None
        else {**asdict(failure), "next_step": _next_step(failure.reason)},
    }


def verify_installed(agent: Agent) -> list[Finding]:
    """Checks the installed files against the kept envelopes, the cached chunks and the node's own accounts."""
    findings: list[Finding] = []
    _verify_bans(agent, findings)
    envelope = agent.files.read_envelope(Document.MANIFEST)
    if envelope is None:
        findings.append(
            Finding("manifest.envelope", Reason.NODE_FILES_UNREADABLE, "nothing was installed yet")
        )
        return findings
    try:
        manifest = agent.verifier.open_manifest(envelope)
        local = agent.files.local_accounts()
        built = build_files(manifest, agent.files, local, agent.node_class, agent.member_lists)
    except NodeInstallFailed as error:
        findings.append(Finding("manifest.envelope", error.reason, error.detail))
        return findings
    _verify_posix(agent, manifest, built.posix, findings)
    _verify_local_groups(agent.files.local_groups_path, built.local_groups, findings)
    _verify_trust(agent, manifest, len(built.trust.identities), findings)
    return findings


def _verify_posix(
    agent: Agent, manifest: Manifest, compiler_input: bytes, findings: list[Finding]
) -> None:
    path = agent.files.posix_path
    header = _read_posix(agent, findings)
    if header is None:
        if not path.exists():
            findings.append(Finding(path.name, Reason.NODE_FILES_UNREADABLE, "missing"))
        return
    _verify_mode(path, 0o644, findings)
    if (header.revision, header.created) != (manifest.revision, manifest.created):
        findings.append(
            Finding(
                path.name,
                Reason.SNAPSHOT_OLDER,
                f"revision {header.revision}, accepted "
                f"{manifest.revision}; 'idmap-agent sync --once' installs it",
            )
        )
        return
    # The same records under the same hash seed compile to the same bytes.
    with tempfile.TemporaryDirectory(prefix="idmap-verify-") as scratch:
        again = Path(scratch) / path.name
        try:
            agent.files.compile_like(compiler_input, header.seed, again)
            ours, theirs = again.read_bytes(), path.read_bytes()
        except (IdmapError, OSError) as error:
            findings.append(Finding(path.name, Reason.INSTALL_FAILED, str(error)))
            return
    if without_superseded_word(ours) != without_superseded_word(theirs):
        findings.append(
            Finding(
                path.name, Reason.NODE_FILES_UNREADABLE, "not what the signed chunks compile to"
            )
        )


def _verify_local_groups(path: Path, wanted: bytes, findings: list[Finding]) -> None:
    try:
        found = path.read_bytes()
    except OSError as error:
        detail = error.strerror or type(error).__name__
        findings.append(Finding(path.name, Reason.NODE_FILES_UNREADABLE, detail))
        return
    _verify_mode(path, 0o644, findings)
    if found != wanted:
        detail = "not what was signed, by the groups that this node lists and has"
        findings.append(Finding(path.name, Reason.NODE_FILES_UNREADABLE, detail))


def _verify_trust(
    agent: Agent, manifest: Manifest, identities: int, findings: list[Finding]
) -> None:
    path = agent.files.trust_path
    trust = TrustDb(path)
    try:
        if trust.revision() != (manifest.revision, manifest.created):
            findings.append(Finding(path.name, Reason.SNAPSHOT_OLDER, "made from another manifest"))
        elif trust.count_identities() != identities:
            findings.append(
                Finding(path.name, Reason.NODE_FILES_UNREADABLE, "identities are missing")
            )
        _verify_mode(path, 0o640, findings)
    except IdmapError as error:
        findings.append(Finding(path.name, error.reason, error.detail))
    finally:
        trust.close()


def _verify_bans(agent: Agent, findings: list[Finding]) -> None:
    path = agent.files.bans_path
    installed = _read_bans(agent, findings)
    envelope = agent.files.read_envelope(Document.BANS)
    if installed is None or envelope is None:
        if installed is None and path.exists():
            return
        findings.append(
            Finding(path.name, Reason.NODE_FILES_UNREADABLE, "no ban list: PAM refuses everybody")
        )
        return
    _verify_mode(path, 0o644, findings)
    try:
        saved = agent.verifier.open_bans(envelope)
    except NodeInstallFailed as error:
        findings.append(Finding("bans.envelope", error.reason, error.detail))
        return
    if not is_list(installed, saved):
        findings.append(
            Finding(path.name, Reason.NODE_FILES_UNREADABLE, "not the ban list that was accepted")
        )
    _verify_refused(agent, saved, findings)


def _verify_refused(agent: Agent, saved: BanList, findings: list[Finding]) -> None:
    path = agent.files.refused_path
    refused = _read_refused(agent, findings)
    if refused is None:
        return
    if path.exists():
        _verify_mode(path, 0o640, findings)
    if not is_refused(refused, saved):
        findings.append(
            Finding(path.name, Reason.NODE_FILES_UNREADABLE, "not the ban list that was accepted")
        )


def _verify_mode(path: Path, mode: int, findings: list[Finding]) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    if found != mode:
        findings.append(
            Finding(path.name, Reason.NODE_FILES_UNREADABLE, f"mode {found:04o}, not {mode:04o}")
        )


def _read_posix(agent: Agent, findings: list[Finding]) -> InstalledPosix | None:
    try:
        return agent.files.read_posix()
    except NodeInstallFailed as error:
        findings.append(Finding("posix.db", error.reason, error.detail))
        return None


def _read_bans(agent: Agent, findings: list[Finding]) -> InstalledBans | None:
    try:
        return agent.files.read_bans()
    except NodeInstallFailed as error:
        findings.append(Finding("bans.db", error.reason, error.detail))
        return None


def _local_groups(agent: Agent, findings: list[Finding]) -> dict[str, int | None]:
    """Every group that agent.toml lists, with its number here; None for one that nobody is given."""
    try:
        given = dict(agent.files.local_accounts().given)
    except NodeInstallFailed as error:
        findings.append(Finding("group", error.reason, error.detail))
        given = {}
    return {name: given.get(name) for name in agent.local_groups}


def _read_refused(agent: Agent, findings: list[Finding]) -> RefusedCredentials | None:
    """What is refused, nothing without the file; None for one that cannot be read."""
    try:
        return agent.files.read_refused() or NOTHING_REFUSED
    except NodeInstallFailed as error:
        findings.append(Finding("refused.json", error.reason, error.detail))
        return None


def _next_step(reason: str) -> str:
    return REASONS[Reason(reason)].next_step if reason in set(Reason) else ""
