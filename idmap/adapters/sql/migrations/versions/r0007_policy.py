"""What rules may ask for and give: facts, node classes, local groups, shared accounts, pins; wider bans; differences.

Every account of before may be used everywhere, belongs to one person and has no local groups, as it was.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"
branch_labels = None
depends_on = None

_SOMEONE_BEFORE: Final = "account_id IS NOT NULL OR identity_id IS NOT NULL"
_SOMEONE: Final = f"{_SOMEONE_BEFORE} OR group_id IS NOT NULL OR banned_issuer IS NOT NULL"


def upgrade() -> None:
    """Adds columns and tables, and lets a ban be of a group, an issuer or a token."""
    for column in (
        sa.Column("node_classes", sa.Text(), server_default=sa.text("'*'"), nullable=False),
        sa.Column("local_groups", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("shared", sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column("accounts", column)
    op.add_column(
        "rule_versions",
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
    )
    op.create_table(
        "rule_pin",
        sa.Column("pin_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pinned_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("pin_id = 1", name=op.f("ck_rule_pin_single")),
        sa.ForeignKeyConstraint(
            ["version"], ["rule_versions.version"], name=op.f("fk_rule_pin_version")
        ),
        sa.PrimaryKeyConstraint("pin_id", name=op.f("pk_rule_pin")),
    )
    _add_facts()
    _add_differences()
    _widen_bans()


def _add_facts() -> None:
    op.create_table(
        "facts",
        sa.Column("identity_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('label', 'attribute', 'assurance', 'entitlement', 'email_domain')",
            name=op.f("ck_facts_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["identities.identity_id"], name=op.f("fk_facts_identity_id")
        ),
        sa.PrimaryKeyConstraint("identity_id", "kind", "value", "source", name=op.f("pk_facts")),
    )


def _add_differences() -> None:
    op.create_table(
        "differences",
        sa.Column("identity_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('not_in_token', 'not_in_source')", name=op.f("ck_differences_kind")
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["identities.identity_id"], name=op.f("fk_differences_identity_id")
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.group_id"], name=op.f("fk_differences_group_id")
        ),
        sa.PrimaryKeyConstraint("identity_id", "group_id", "kind", name=op.f("pk_differences")),
    )
    op.create_index(op.f("ix_differences_last_seen"), "differences", ["last_seen"])


def _widen_bans() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    # No reference: SQLite adds no constraint to a table that is there, and groups are never removed.
    op.add_column("bans", sa.Column("group_id", sa.Integer(), nullable=True))
    op.add_column("bans", sa.Column("banned_issuer", sa.Text(), nullable=True))
    op.add_column("bans", sa.Column("token_id", sa.Text(), nullable=True))
    op.create_index(op.f("ix_bans_group_id"), "bans", ["group_id"])
    op.create_index(op.f("ix_bans_token_id_banned_issuer"), "bans", ["token_id", "banned_issuer"])
    if postgresql:
        op.drop_constraint(op.f("ck_bans_someone"), "bans", type_="check")
        op.create_check_constraint(op.f("ck_bans_someone"), "bans", _SOMEONE)
    else:
        _widen_on_sqlite()


def _widen_on_sqlite() -> None:
    """As r0004 does it for the states of accounts, and for its reasons."""
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    changed = connection.execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :before, :after)"
            " WHERE type = 'table' AND name = 'bans' AND instr(sql, :before) > 0"
        ),
        {"before": _SOMEONE_BEFORE, "after": _SOMEONE},
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {int(version) + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    if changed.rowcount != 1:
        raise RuntimeError("the table of bans does not name whom it bans as r0001 wrote it")
