#!/usr/bin/env bash
# CoCoOp: bash scripts/cocoop/cross_dataset.sh SOURCE SHOTS [TARGET ...] [CFG] [KEY VALUE ...]
# $DATA: data root (default data); $SEEDS (default "1 2 3"); $PYTHON (default python). docs/transfer.md
exec "${PYTHON:-python}" "$(dirname "$0")/../../tools/run_transfer.py" --protocol cross_dataset --trainer CoCoOp "$@"
