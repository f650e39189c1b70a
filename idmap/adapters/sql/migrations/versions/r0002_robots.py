"""Identities say whether they are robots, so that rules for people do not match them.

Everybody recorded before counts as a person until a source's next listing or a token says otherwise.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds `identities.robot`."""
    op.add_column(
        "identities", sa.Column("robot", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
