#!/usr/bin/env bash
# Resolves pyproject.toml and requirements/*.in into requirements/*.lock, with hashes. Arguments go to uv, such as
# --upgrade or --upgrade-package litestar.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for kind in run test; do
  "${VENV:-.venv}/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command "make lock" --extra postgres --output-file "requirements/$kind.lock" \
    pyproject.toml sdk/pyproject.toml "requirements/$kind.in" "$@"
done
