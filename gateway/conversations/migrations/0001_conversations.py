"""The standing of conversations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = ("conversations",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("key", sa.String(32), primary_key=True),  # a keyed hash, 128 bits in hexadecimal digits
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("unread", sa.SmallInteger(), nullable=False),
        sa.Column("lapses", sa.BigInteger(), nullable=False),  # seconds since the epoch
        sa.CheckConstraint("level BETWEEN 0 AND 3 AND unread BETWEEN 0 AND 1", name="conversations_in_range"),
    )
    op.create_index("conversations_lapses", "conversations", ["lapses"])


def downgrade() -> None:
    op.drop_table("conversations")
