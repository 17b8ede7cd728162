"""Finished traces, one row each with its spans inside: a tenth of the writes that a row per span would take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = ("telemetry",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "traces",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("trace", sa.String(32), nullable=False),
        sa.Column("decision", sa.String(128), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),  # nanoseconds since the epoch
        sa.Column("span_count", sa.Integer(), nullable=False),
        sa.Column("spans", sa.LargeBinary(), nullable=False),  # JSON, see gateway.telemetry.spans
    )
    for column in ("trace", "decision", "started"):
        op.create_index(f"traces_{column}", "traces", [column])


def downgrade() -> None:
    op.drop_table("traces")
