"""The command `idmap`: every subcommand is named here, each lives in a module of its own.

A module is imported when its subcommand is wanted: one that asks over REST needs neither the database nor the HTTP
server, and starts in a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from idmap import __version__

_SERVICE: Final = "The service"
_POLICY: Final = "Policy and people (over REST)"
_OPERATION: Final = "Operation (on the service's host)"

SUBCOMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "init": (_SERVICE, "idmap.entrypoints.cli.site:init_command"),
    "serve": (_SERVICE, "idmap.entrypoints.cli.serve:serve_command"),
    "work": (_SERVICE, "idmap.entrypoints.cli.work:work_command"),
    "sign": (_SERVICE, "idmap.entrypoints.sign.main:sign_command"),
    "issuers": (_POLICY, "idmap.entrypoints.cli.issuers:app"),
    "rules": (_POLICY, "idmap.entrypoints.cli.rules:app"),
    "ranges": (_POLICY, "idmap.entrypoints.cli.ranges:app"),
    "accounts": (_POLICY, "idmap.entrypoints.cli.accounts:app"),
    "groups": (_POLICY, "idmap.entrypoints.cli.groups:app"),
    "identities": (_POLICY, "idmap.entrypoints.cli.identities:app"),
    "bans": (_POLICY, "idmap.entrypoints.cli.bans:app"),
    "nodes": (_POLICY, "idmap.entrypoints.cli.nodes:app"),
    "components": (_POLICY, "idmap.entrypoints.cli.components:app"),
    "audit": (_POLICY, "idmap.entrypoints.cli.audit:app"),
    "explain": (_POLICY, "idmap.entrypoints.cli.explain:explain"),
    "provision": (_OPERATION, "idmap.entrypoints.cli.provision:app"),
    "keys": (_OPERATION, "idmap.entrypoints.cli.keys:app"),
    "snapshot": (_OPERATION, "idmap.entrypoints.cli.snapshot:app"),
    "db": (_OPERATION, "idmap.entrypoints.cli.db:app"),
    "doctor": (_OPERATION, "idmap.entrypoints.cli.doctor:doctor_command"),
}
"""By name, in the order of the help: its panel there, and where it is, as in entry points."""


class _WhenWanted(Mapping[str, Any]):
    """The commands of SUBCOMMANDS, each imported when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make_command(name, *SUBCOMMANDS[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SUBCOMMANDS)

    def __len__(self) -> int:
        return len(SUBCOMMANDS)


def _make_command(name: str, panel: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    target = getattr(import_module(module), attribute)
    around = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    if isinstance(target, typer.Typer):
        around.add_typer(target, name=name, rich_help_panel=panel)
        return typer.main.get_group(around).commands[name]
    around.command(name, rich_help_panel=panel)(target)
    return typer.main.get_command(around)


class _Idmap(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _WhenWanted()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # click asks with it
        """The names alone: nothing is imported for them."""
        return list(self.commands)


app = typer.Typer(
    cls=_Idmap,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Federated identities to stable HPC accounts, and one answer at every door.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"idmap {__version__}")
        raise typer.Exit


@app.callback()
def idmap(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Registered for `--version` alone."""


def main() -> None:
    """The command `idmap`."""
    app()
