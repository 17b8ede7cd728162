#!/usr/bin/env bash
# Makes the demo model anew: corpus, training (about 21 CPU minutes), export, evaluation, sample
# answers (docs/demo-model.md). README.md explains.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=.cache/demo_model
export OMP_WAIT_POLICY=PASSIVE # on a machine with other work, threads that spin while they wait took 3 times the CPU
[ -x $work/venv/bin/python ] || python3 -m venv $work/venv
$work/venv/bin/pip install --quiet -r tools/demo_model/requirements.txt
$work/venv/bin/python -m tools.demo_model.corpus --out $work/corpus.jsonl
$work/venv/bin/python -m tools.demo_model.train --corpus $work/corpus.jsonl --out $work
$work/venv/bin/python -m tools.demo_model.export --trained $work --out models/demo-helpdesk.gguf
.venv/bin/python -m tools.demo_model.evaluate --model models/demo-helpdesk.gguf
.venv/bin/python -m tools.demo_model.answers --write
sha256sum models/demo-helpdesk.gguf
