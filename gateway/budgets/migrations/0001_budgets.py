"""Budgets, the reservations made in them, and the processes that hold reservations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = ("budgets",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("scope", sa.Text(), primary_key=True),
        sa.Column("spent", sa.BigInteger(), nullable=False),  # nano-dollars, here and below
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("spent >= 0 AND reserved >= 0", name="budgets_not_negative"),
    )
    op.create_table(
        "budget_reservations",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),  # milliseconds since the epoch, here and below
        sa.Column("owner", sa.Text(), nullable=False),
    )
    op.create_index("budget_reservations_owner", "budget_reservations", ["owner"])
    op.create_table(
        "budget_owners",
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("expires", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    for table in ("budget_owners", "budget_reservations", "budgets"):
        op.drop_table(table)
