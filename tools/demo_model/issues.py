"""All help-desk topics."""

from __future__ import annotations

from tools.demo_model.desk_topics import ACCOUNTS, DEVICES, MEETINGS
from tools.demo_model.shop_topics import BILLS, ORDERS

ALL = ACCOUNTS + DEVICES + ORDERS + BILLS + MEETINGS
