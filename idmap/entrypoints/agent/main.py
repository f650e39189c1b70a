"""`idmap-agent`: brings signed account data to this node and keeps it current."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from idmap.domain.errors import IdmapError
from idmap.entrypoints.agent.assemble import Agent, assemble
from idmap.entrypoints.agent.inspect import status_report, verify_installed
from idmap.entrypoints.agent.run import AgentLoop
from idmap.entrypoints.logs import configure_logs
from idmap.entrypoints.settings import AGENT_FILE, load_agent_settings
from idmap.entrypoints.stopping import when_told_to_stop

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Brings signed account data to this node: fetches, verifies by pinned keys, compiles, installs.",
)

_Config = Annotated[Path, typer.Option("--config", help="This node's settings.", dir_okay=False)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def run(config: _Config = AGENT_FILE) -> None:
    """Run as a daemon: follow the service's events, install snapshots and ban lists as they come."""
    with _agent(config) as agent:
        stop = threading.Event()
        loop = AgentLoop(agent, stop)

        def end() -> None:
            stop.set()
            loop.wake()

        when_told_to_stop(end)
        loop.run()


@app.command()
def sync(
    config: _Config = AGENT_FILE,
    once: Annotated[
        bool, typer.Option("--once", help="Fetch and install once, then end (the only mode).")
    ] = True,
) -> None:
    """Fetch and install the newest ban list and snapshot, once. Fails with a reason; good files stay."""
    del once
    with _agent(config) as agent:
        try:
            agent.files.prepare()
            agent.bans.restore()
            agent.bans.fetch()
            with contextlib.suppress(IdmapError):
                agent.bans.fetch_heartbeat()
            changed = agent.installer.sync()
        except IdmapError as error:
            agent.installer.note_failure("sync", error)
            raise
        state = agent.files.read_state()
        typer.echo(
            f"revision {state.installed_revision} "
            f"{'installed' if changed else 'is installed already'}, "
            f"ban counter {agent.bans.counter()}, {len(state.masked)} masked"
        )


@app.command()
def status(config: _Config = AGENT_FILE, as_json: _Json = False) -> None:
    """Show what is installed, how old it is, what is masked, and the last error with its next step."""
    with _agent(config) as agent:
        report = status_report(agent)
    typer.echo(json.dumps(report, indent=2) if as_json else _as_text(report))


@app.command()
def verify(config: _Config = AGENT_FILE, as_json: _Json = False) -> None:
    """Check the installed files against what was signed. Ends with 1 when something is wrong."""
    with _agent(config) as agent:
        findings = verify_installed(agent)
    if as_json:
        rows = [{"file": f.file, "reason": str(f.reason), "detail": f.detail} for f in findings]
        typer.echo(json.dumps({"ok": not findings, "findings": rows}, indent=2))
    elif not findings:
        typer.echo(
            "posix.db, trust.db, bans.db and refused.json are what was signed for this node."
        )
    else:
        for finding in findings:
            typer.echo(f"{finding.file}: {finding.detail} [{finding.reason}]", err=True)
        typer.echo("'idmap-agent sync --once' installs again.", err=True)
    raise typer.Exit(1 if findings else 0)


def main() -> None:
    """The command `idmap-agent`."""
    configure_logs(process="agent")
    app(prog_name="idmap-agent")


@contextlib.contextmanager
def _agent(config: Path) -> Iterator[Agent]:
    """An agent by its settings; whatever idmap can name ends the command with words and status 1."""
    try:
        with contextlib.ExitStack() as stack:
            agent = assemble(load_agent_settings(config))
            stack.callback(agent.client.close)
            yield agent
    except IdmapError as error:
        raise _fail(error) from None


def _fail(error: IdmapError) -> typer.Exit:
    typer.echo(f"idmap-agent: {error.sentence} [{error.reason}]", err=True)
    if error.detail:
        typer.echo(f"  {error.detail}", err=True)
    typer.echo(f"  {error.next_step}", err=True)
    return typer.Exit(1)


def _as_text(report: dict[str, Any]) -> str:
    rows = [
        ("realm", report["realm"]),
        ("revision", _or_none(report["revision"], report["accounts"], "accounts")),
        ("made", _moment(report["created"])),
        (
            "usable until",
            _moment(report["not_after"]) + (" (EXPIRED)" if report["expired"] else ""),
        ),
        ("ban counter", _or_none(report["ban_counter"], report["bans"], "bans")),
        ("refused by token", _refused(report["banned_issuers"], report["banned_tokens"])),
        ("newest signed time", _moment(report["signed_time"])),
        (
            "lag",
            "never in contact" if report["lag_seconds"] is None else f"{report['lag_seconds']} s",
        ),
        ("in contact", "yes" if report["in_contact"] else "NO"),
        ("clock", "AHEAD of the service's" if report["clock_skew"] else "agrees"),
        ("node class", report["node_class"]),
        ("keys", "REFUSED: a token is demanded" if report["token_only"] else "accepted"),
        ("for other classes", f"{report['elsewhere']} accounts"),
        ("local groups", _local_groups_text(report["local_groups"])),
        ("member lists", _member_lists_text(report["members"])),
        ("masked here", str(len(report["masked"]))),
    ]
    lines = [f"{name:20}{value}" for name, value in rows]
    lines += [f"  {m['kind']} {m['name']} ({m['number']}): {m['cause']}" for m in report["masked"]]
    lines += [f"unreadable: {f['detail']}" for f in report["unreadable"]]
    error = report["last_error"]
    if error is not None:
        lines.append(
            f"last error          {error['during']} at {_moment(error['at'])}: "
            f"{error['reason']}: {error['detail']}"
        )
        lines.append(f"                    {error['next_step']}")
    return "\n".join(lines)


def _local_groups_text(groups: dict[str, int | None]) -> str:
    return ", ".join(f"{n} ({'NOT GIVEN' if g is None else g})" for n, g in groups.items()) or "-"


def _member_lists_text(members: dict[str, Any]) -> str:
    """What the setting says, and what is installed; the two differ until the next sync."""
    policy = "full" if members["above"] is None else f"empty above {members['above']} members"
    return f"{policy}; {members['withheld']} withheld"


def _or_none(value: int | None, count: int | None, unit: str) -> str:
    return "none installed" if value is None else f"{value} ({count} {unit})"


def _refused(issuers: list[str] | None, tokens: int | None) -> str:
    if issuers is None:
        return "EVERYBODY: refused.json cannot be read"
    named = ", ".join(issuers) or "no issuer"
    return f"{named}; {tokens} single tokens"


def _moment(seconds: int | None) -> str:
    if not seconds:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


if __name__ == "__main__":
    main()
