"""``python -m gateway`` is ``bailiwick``."""

from gateway.cli import main

main(prog_name="bailiwick")
