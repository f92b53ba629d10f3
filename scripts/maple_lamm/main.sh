#!/usr/bin/env bash
# MaPLe_LAMM: bash scripts/maple_lamm/main.sh DATASET SHOTS [CFG] [KEY VALUE ...]
# $DATA: data root (default data); $SEEDS (default "1 2 3"); $PYTHON (default python).
exec "${PYTHON:-python}" "$(dirname "$0")/../../tools/run_seeds.py" --trainer MaPLe_LAMM "$@"
