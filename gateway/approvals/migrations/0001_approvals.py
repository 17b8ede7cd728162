"""Approvals, and the words that approvers gave for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = ("approvals",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(32), primary_key=True),
        # The binding while the approval answers for it. Nulls are not equal, so any number of old ones may stay.
        sa.Column("standing", sa.String(64), nullable=True, unique=True),
        sa.Column("tenant", sa.String(96), nullable=False),
        sa.Column("app", sa.String(96), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),  # microseconds since the epoch (UTC), here and below
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("denied_by", sa.String(96), nullable=True),
        sa.Column("denied_at", sa.BigInteger, nullable=True),
        sa.Column("used_by", sa.String(96), nullable=True),  # a decision id
        sa.Column("used_at", sa.BigInteger, nullable=True),
        sa.Column("facts", sa.LargeBinary, nullable=False),
    )
    op.create_index("approvals_app", "approvals", ["tenant", "app", "status"])
    op.create_index("approvals_age", "approvals", ["asked_at"])
    op.create_table(
        "approval_words",
        sa.Column("approval", sa.String(32), sa.ForeignKey("approvals.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("requirement", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(96), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("approval_words")
    op.drop_table("approvals")
