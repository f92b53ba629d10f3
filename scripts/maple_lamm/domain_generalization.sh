#!/usr/bin/env bash
# MaPLe_LAMM: bash scripts/maple_lamm/domain_generalization.sh SOURCE SHOTS [TARGET ...] [CFG] [KEY VALUE ...]
# $DATA: data root (default data); $SEEDS (default "1 2 3"); $PYTHON (default python). docs/transfer.md
exec "${PYTHON:-python}" "$(dirname "$0")/../../tools/run_transfer.py" --protocol domain_generalization --trainer MaPLe_LAMM "$@"
