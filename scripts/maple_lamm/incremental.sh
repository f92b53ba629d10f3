#!/usr/bin/env bash
# MaPLe_LAMM, classes learned set by set: bash scripts/maple_lamm/incremental.sh DATASET SHOTS [STEPS] [CFG] [KEY VALUE ...]
# $DATA: data root (default data); $SEEDS (default "1 2 3"); $PYTHON (default python).
exec "${PYTHON:-python}" "$(dirname "$0")/../../tools/run_incremental.py" --trainer MaPLe_LAMM "$@"
