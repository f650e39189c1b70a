"""What commands on the service's own host have in common: where its settings are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option("--config", help="The service's settings.", dir_okay=False)]
