#!/usr/bin/env bash
# CoOp, classes learned set by set: bash scripts/coop/incremental.sh DATASET SHOTS [STEPS] [CFG] [KEY VALUE ...]
# $DATA: data root (default data); $SEEDS (default "1 2 3"); $PYTHON (default python).
exec "${PYTHON:-python}" "$(dirname "$0")/../../tools/run_incremental.py" --trainer CoOp "$@"
