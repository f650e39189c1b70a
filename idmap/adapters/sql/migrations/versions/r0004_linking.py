"""Evidence for links, accounts that wait for approval, and memberships with a last day.

Nobody is pending and no membership ends by this: what was recorded before stays as it was.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None

_STATES_BEFORE: Final = "state IN ('active', 'grace', 'suspended', 'tombstone')"
_STATES: Final = "state IN ('pending', 'active', 'grace', 'suspended', 'tombstone')"


def upgrade() -> None:
    """Adds `link_evidence`, `memberships.grace_until` and the state `pending`."""
    op.add_column("memberships", sa.Column("grace_until", sa.Date(), nullable=True))
    op.create_table(
        "link_evidence",
        sa.Column("evidence_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('oidc', 'saml', 'certificate')", name=op.f("ck_link_evidence_kind")
        ),
        sa.CheckConstraint(
            "state IN ('open', 'approved', 'refused')", name=op.f("ck_link_evidence_state")
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"],
            ["identities.identity_id"],
            name=op.f("fk_link_evidence_identity_id"),
        ),
        sa.PrimaryKeyConstraint("evidence_id", name=op.f("pk_link_evidence")),
        sa.UniqueConstraint(
            "identity_id",
            "source",
            "kind",
            "issuer",
            "subject",
            name=op.f("uq_link_evidence_identity_id_source_kind_issuer_subject"),
        ),
    )
    op.create_index(op.f("ix_link_evidence_issuer_subject"), "link_evidence", ["issuer", "subject"])
    if op.get_bind().dialect.name == "sqlite":
        _widen_on_sqlite()
    else:
        op.drop_constraint(op.f("ck_accounts_state"), "accounts", type_="check")
        op.create_check_constraint(op.f("ck_accounts_state"), "accounts", _STATES)


def _widen_on_sqlite() -> None:
    """SQLite's own way of changing a CHECK that every row keeps (sqlite.org/lang_altertable.html §7).

    Rebuilding the table instead would take its triggers with it, copy every account, and could not be done in
    a transaction that checks references. The schema version is raised, so that every connection reads it anew.
    """
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    changed = connection.execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :before, :after)"
            " WHERE type = 'table' AND name = 'accounts' AND instr(sql, :before) > 0"
        ),
        {"before": _STATES_BEFORE, "after": _STATES},
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {int(version) + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    if changed.rowcount != 1:
        raise RuntimeError("the table of accounts does not name its states as r0001 wrote them")
