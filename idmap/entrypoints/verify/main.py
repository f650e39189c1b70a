"""`idmap-verify`: started by systemd or by hand as its own user, answers until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import structlog
import typer

from idmap.adapters.node_files.bans_db import read_bans
from idmap.adapters.node_files.refused import RefusedFile
from idmap.adapters.node_files.trust_db import TrustDb
from idmap.adapters.oidc.at_service import ServiceQuestions
from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.node_keys import KeysWithService
from idmap.application.ports import Clock, IssuerKeys
from idmap.application.verify_token import TokenVerifier
from idmap.domain.doors import ssh_door
from idmap.domain.errors import IdmapError
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.clock import system_clock
from idmap.entrypoints.logs import configure_logs
from idmap.entrypoints.settings import (
    AGENT_FILE,
    AgentSettings,
    load_agent_settings,
    read_secret_file,
)
from idmap.entrypoints.verify.judge import Judge
from idmap.entrypoints.verify.server import VerifyServer, open_listener, run

_log = structlog.get_logger("idmap.verify")


def verify_command(
    config: Annotated[
        Path, typer.Option("--config", help="The node's settings.", dir_okay=False)
    ] = AGENT_FILE,
) -> None:
    """Check access tokens for pam_idmap on this node.

    Listens on a local socket for root alone, checks each token with the keys in trust.db for the audience of this
    node class, refuses what refused.json bans, and says whose account it is. Runs as its own user. Asks the service,
    when it has a credential of its own (verify.credential_file), for a key that trust.db does not have yet and about
    opaque tokens; else nobody.
    """
    configure_logs(process="verify")
    with explained("idmap-verify"):
        settings = load_agent_settings(config)
        trust = TrustDb(settings.files.directory / "trust.db")
        service = _service(settings)
        keys: IssuerKeys = trust
        if service is not None:
            keys = KeysWithService(trust, service.find_key, trust.revision)
        judge = Judge(
            TokenVerifier(trust.find_issuer, keys, JoseSignatures()),
            trust,
            ssh_door(settings.node_class),
            node_clock(settings.files.directory / "bans.db"),
            ask_whose=None if service is None else service.introspect,
            banned=RefusedFile(settings.files.directory / "refused.json", trust.salt),
        )
        server = VerifyServer(open_listener(settings.verify.socket), judge.answer)
        door = str(ssh_door(settings.node_class))
        _log.info("verifier_started", door=door, may_ask=service is not None)
        run(server)


def _service(settings: AgentSettings) -> ServiceQuestions | None:
    """The service to ask, when there is a credential for it. Raises InvalidInput when it is open to others."""
    credential_file = settings.verify.credential_file
    if not credential_file.exists():
        return None
    read_secret_file(credential_file)
    return ServiceQuestions(
        settings.service.url,
        lambda: read_secret_file(credential_file),
        ca_file=settings.service.ca_file,
    )


def node_clock(bans: Path, clock: Clock = system_clock) -> Clock:
    """The node's effective time: never less than the newest signed time seen (a slow clock revives nothing).

    An unreadable ban list leaves the clock alone: the account phase refuses everybody then.
    """

    def now() -> int:
        try:
            header = read_bans(bans)
        except IdmapError:
            header = None
        return clock() if header is None else max(clock(), header.signed_time)

    return now


def main() -> None:
    """The command `idmap-verify`."""
    typer.run(verify_command)
