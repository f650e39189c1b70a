"""`idmap sign`: the process that holds the keys, as a child of `idmap serve` or on its own as its own user.

It reads the snapshot store's chunks, its keys and its state; it opens no network socket and no database.
"""

from __future__ import annotations

import pwd
import threading
import time
from collections.abc import Sequence

import structlog
import typer

from idmap.adapters.snapshot.keys import load_keys
from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.host_options import Config
from idmap.entrypoints.logs import configure_logs
from idmap.entrypoints.settings import SERVICE_FILE, ServiceSettings, load_service_settings
from idmap.entrypoints.sign.refusals import Limits
from idmap.entrypoints.sign.server import listen, serve
from idmap.entrypoints.sign.signing import Desk
from idmap.entrypoints.sign.state import SignerState
from idmap.entrypoints.stopping import when_told_to_stop

_log = structlog.get_logger("idmap.sign")


def run_signer(settings: ServiceSettings, stop: threading.Event) -> None:
    """Signs until `stop` is set. Raises InvalidInput(CONFIGURATION_INVALID) when keys or state cannot be used."""
    store = DirectorySnapshotStore(settings.snapshot.directory)
    directory = settings.sign.keys_directory
    desk = Desk(
        limits=Limits(
            realm=settings.realm,
            lifetime_seconds=settings.snapshot.lifetime_seconds,
            max_shrink_percent=settings.sign.max_shrink_percent,
        ),
        keys=load_keys(directory),
        state=SignerState(directory / "signer-state.json"),
        read_chunk=lambda sha256: store.read_chunk(sha256, restricted=False),
        read_trust_chunk=lambda sha256: store.read_chunk(sha256, restricted=True),
        clock=time.time,
    )
    path = settings.sign.socket
    try:
        listener = listen(path)
    except OSError as error:
        raise InvalidInput(
            Reason.CONFIGURATION_INVALID, f"sign.socket: {path}: {error.strerror}"
        ) from error
    with listener:
        _log.info("signer_started", socket=str(path), keys=dict(desk.public_keys()))
        try:
            serve(listener, desk, stop, allowed_uids=_numbers(settings.sign.allowed_users))
        finally:
            path.unlink(missing_ok=True)
    _log.info("signer_stopped")


def _numbers(names: Sequence[str]) -> frozenset[int]:
    """The uids of local users. Raises InvalidInput(CONFIGURATION_INVALID) for a name nobody has."""
    try:
        return frozenset(pwd.getpwnam(name).pw_uid for name in names)
    except KeyError as error:
        raise InvalidInput(Reason.CONFIGURATION_INVALID, f"sign.allowed_users: {error}") from None


def sign_command(
    config: Config = SERVICE_FILE,
) -> None:
    """Run the signer: the one process that holds the keys.

    It answers typed requests on a Unix socket, checks every record of a snapshot on its own, and refuses what is older,
    dated wrongly, or drops more accounts than the guard allows. Make its keys first with 'idmap keys generate'.
    """
    configure_logs(process="sign")
    stop = threading.Event()
    when_told_to_stop(stop.set)
    try:
        run_signer(load_service_settings(config), stop)
    except IdmapError as error:
        typer.echo(f"idmap sign: {error.detail} [{error.reason}]\n{error.next_step}", err=True)
        raise typer.Exit(1) from None
