#!/usr/bin/env bash
# CoCoOp_LAMM: bash scripts/cocoop_lamm/main.sh DATASET SHOTS [CFG] [KEY VALUE ...]
# $DATA: data root (default data); $SEEDS (default "1 2 3"); $PYTHON (default python).
exec "${PYTHON:-python}" "$(dirname "$0")/../../tools/run_seeds.py" --trainer CoCoOp_LAMM "$@"
