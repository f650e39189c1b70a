"""What was issued by a history that a restore replaced is withheld from everybody but its holder (law 2)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None

_REFUSED = {"never_deleted": "DELETE", "never_changed": "UPDATE"}


def upgrade() -> None:
    """Adds `withheld`, append-only like the ledger."""
    op.create_table(
        "withheld",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('user', 'group')", name=op.f("ck_withheld_kind")),
        sa.PrimaryKeyConstraint("name", "kind", "number", "holder", name=op.f("pk_withheld")),
    )
    op.create_index(op.f("ix_withheld_holder"), "withheld", ["holder"])
    op.create_index(op.f("ix_withheld_kind_number"), "withheld", ["kind", "number"])
    dialect = op.get_context().dialect.name
    for rule, event in _REFUSED.items():
        op.execute(_trigger(dialect, rule, event))
    if dialect == "postgresql":
        op.execute(
            "CREATE TRIGGER withheld_never_truncated BEFORE TRUNCATE ON withheld"
            " FOR EACH STATEMENT EXECUTE FUNCTION idmap_refuse()"
        )


def _trigger(dialect: str, rule: str, event: str) -> str:
    begin = f"CREATE TRIGGER withheld_{rule} BEFORE {event} ON withheld"
    if dialect == "postgresql":
        return f"{begin} FOR EACH ROW EXECUTE FUNCTION idmap_refuse()"
    return f"{begin} BEGIN SELECT RAISE(ABORT, 'withheld: {rule}'); END"
