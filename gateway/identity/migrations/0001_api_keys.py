"""API keys, and a version that any change to them raises: also one that somebody makes by hand, in SQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = ("identity",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("secret_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("group_name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=True),
    )
    version = op.create_table(
        "api_keys_version",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(version, [{"id": 1, "version": 0}])
    raise_version = "UPDATE api_keys_version SET version = version + 1 WHERE id = 1"
    if op.get_context().dialect.name == "sqlite":
        for verb in ("INSERT", "UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER api_keys_{verb.lower()} AFTER {verb} ON api_keys BEGIN {raise_version}; END")
    else:
        op.execute(
            "CREATE FUNCTION api_keys_changed() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {raise_version}; RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER api_keys_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON api_keys "
            "FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed()"
        )


def downgrade() -> None:
    op.drop_table("api_keys")
    op.drop_table("api_keys_version")
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION api_keys_changed()")
