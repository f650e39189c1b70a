"""The first schema: every table of tables.py, and the triggers that keep issued rows as they are.

A migration is frozen once released: it names its own constants and imports nothing that may change.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from idmap.adapters.sql.migrations.append_only_r0001 import trigger_statements

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

_ROOT_EQUIVALENT: Final = (
    "adm",
    "admin",
    "audio",
    "backup",
    "bin",
    "daemon",
    "dialout",
    "disk",
    "docker",
    "incus",
    "incus_admin",
    "input",
    "kmem",
    "kvm",
    "libvirt",
    "lxc",
    "lxd",
    "mem",
    "netdev",
    "operator",
    "plugdev",
    "podman",
    "render",
    "root",
    "shadow",
    "ssl_cert",
    "staff",
    "sudo",
    "sudoers",
    "sys",
    "systemd_journal",
    "tty",
    "utmp",
    "vboxusers",
    "video",
    "wheel",
    "wireshark",
)

_ALLOWED_NAME: Final = "length(name) BETWEEN 1 AND 32 AND lower(name) NOT IN ({})".format(
    ", ".join(f"'{name}'" for name in _ROOT_EQUIVALENT)
)


def _allowed_number(column: str) -> str:
    return f"{column} BETWEEN 1000 AND 60000 OR {column} BETWEEN 65536 AND 2147483647"


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_changes")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "credentials",
        sa.Column("credential_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("node_class", sa.Text(), nullable=True),
        sa.Column("doors", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('admin_key', 'component', 'node')", name=op.f("ck_credentials_kind")
        ),
        sa.CheckConstraint("length(digest) = 32", name=op.f("ck_credentials_sha256")),
        sa.PrimaryKeyConstraint("credential_id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("digest", name=op.f("uq_credentials_digest")),
    )
    op.create_index(
        "uq_credentials_in_force",
        "credentials",
        ["kind", "name"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "groups",
        sa.Column("group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("listed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("group_id", name=op.f("pk_groups")),
        sa.UniqueConstraint("issuer", "path", name=op.f("uq_groups_issuer_path")),
    )
    op.create_table(
        "issuers",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", name=op.f("pk_issuers")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "ledger_names",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('user', 'group')", name=op.f("ck_ledger_names_kind")),
        sa.CheckConstraint(_ALLOWED_NAME, name=op.f("ck_ledger_names_law_10")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ledger_names")),
    )
    op.create_table(
        "nodes",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("node_class", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("ban_counter", sa.BigInteger(), nullable=False),
        sa.Column("reported", sa.BigInteger(), nullable=True),
        sa.Column("masked", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_nodes")),
    )
    op.create_table(
        "ranges",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("purpose IN ('people', 'groups')", name=op.f("ck_ranges_purpose")),
        sa.CheckConstraint(
            "NOT (first <= 65535 AND last >= 60001)", name=op.f("ck_ranges_law_10_hole")
        ),
        sa.CheckConstraint("first <= last AND next_number >= first", name=op.f("ck_ranges_order")),
        sa.CheckConstraint(_allowed_number("first"), name=op.f("ck_ranges_law_10_first")),
        sa.CheckConstraint(_allowed_number("last"), name=op.f("ck_ranges_law_10_last")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ranges")),
    )
    op.create_table(
        "realm",
        sa.Column("realm_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("realm_id = 1", name=op.f("ck_realm_single")),
        sa.PrimaryKeyConstraint("realm_id", name=op.f("pk_realm")),
    )
    op.create_table(
        "rule_versions",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_rule_versions")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_started"), "runs", ["started"], unique=False)
    op.create_table(
        "change_bodies",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sequence"], ["changes.sequence"], name=op.f("fk_change_bodies_sequence")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_change_bodies")),
    )
    op.create_table(
        "ledger_numbers",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("range_name", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('uid', 'gid')", name=op.f("ck_ledger_numbers_kind")),
        sa.CheckConstraint(_allowed_number("number"), name=op.f("ck_ledger_numbers_law_10")),
        sa.ForeignKeyConstraint(
            ["range_name"], ["ranges.name"], name=op.f("fk_ledger_numbers_range_name")
        ),
        sa.PrimaryKeyConstraint("kind", "number", name=op.f("pk_ledger_numbers")),
    )
    op.create_table(
        "node_local_names",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.name"], name=op.f("fk_node_local_names_node")),
        sa.PrimaryKeyConstraint("node", "name", name=op.f("pk_node_local_names")),
    )
    op.create_index(op.f("ix_node_local_names_name"), "node_local_names", ["name"], unique=False)
    op.create_table(
        "posix_groups",
        sa.Column("group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("gid_number", sa.Integer(), nullable=False),
        sa.CheckConstraint(_allowed_number("gid_number"), name=op.f("ck_posix_groups_law_10")),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.group_id"], name=op.f("fk_posix_groups_group_id")
        ),
        sa.ForeignKeyConstraint(["name"], ["ledger_names.name"], name=op.f("fk_posix_groups_name")),
        sa.PrimaryKeyConstraint("group_id", name=op.f("pk_posix_groups")),
        sa.UniqueConstraint("gid_number", name=op.f("uq_posix_groups_gid_number")),
        sa.UniqueConstraint("name", name=op.f("uq_posix_groups_name")),
    )
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("uid_number", sa.Integer(), nullable=False),
        sa.Column("primary_group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("shell", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("grace_until", sa.Date(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(state = 'grace') = (grace_until IS NOT NULL)", name=op.f("ck_accounts_grace")
        ),
        sa.CheckConstraint("NOT held OR state = 'suspended'", name=op.f("ck_accounts_held")),
        sa.CheckConstraint(
            "state IN ('active', 'grace', 'suspended', 'tombstone')", name=op.f("ck_accounts_state")
        ),
        sa.CheckConstraint(_allowed_number("uid_number"), name=op.f("ck_accounts_law_10")),
        sa.ForeignKeyConstraint(
            ["primary_group_id"],
            ["posix_groups.group_id"],
            name=op.f("fk_accounts_primary_group_id"),
        ),
        sa.ForeignKeyConstraint(
            ["username"], ["ledger_names.name"], name=op.f("fk_accounts_username")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("uid_number", name=op.f("uq_accounts_uid_number")),
        sa.UniqueConstraint("username", name=op.f("uq_accounts_username")),
    )
    op.create_table(
        "identities",
        sa.Column("identity_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("preferred_username", sa.Text(), nullable=True),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("unreadable_since", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_identities_account_id")
        ),
        sa.PrimaryKeyConstraint("identity_id", name=op.f("pk_identities")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_identities_issuer_subject")),
    )
    op.create_index(op.f("ix_identities_account_id"), "identities", ["account_id"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_memberships_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["posix_groups.group_id"], name=op.f("fk_memberships_group_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "group_id", name=op.f("pk_memberships")),
    )
    op.create_table(
        "bans",
        sa.Column("ban_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.Integer(), autoincrement=False, nullable=True),
        sa.Column("identity_id", sa.Integer(), autoincrement=False, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "account_id IS NOT NULL OR identity_id IS NOT NULL", name=op.f("ck_bans_someone")
        ),
        sa.CheckConstraint("until IS NULL OR until > since", name=op.f("ck_bans_order")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_bans_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["identities.identity_id"], name=op.f("fk_bans_identity_id")
        ),
        sa.PrimaryKeyConstraint("ban_id", name=op.f("pk_bans")),
    )
    op.create_table(
        "observations",
        sa.Column("identity_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.group_id"], name=op.f("fk_observations_group_id")
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["identities.identity_id"], name=op.f("fk_observations_identity_id")
        ),
        sa.PrimaryKeyConstraint("identity_id", "group_id", "source", name=op.f("pk_observations")),
    )
    for statement in trigger_statements(op.get_context().dialect.name):
        op.execute(statement)
    op.execute("INSERT INTO counters (name, value) VALUES ('revision', 0), ('ban_counter', 0)")
