#!/usr/bin/env bash
# CoOp: bash scripts/coop/base_to_new.sh DATASET SHOTS [CFG] [KEY VALUE ...]
# $DATA: data root (default data); $SEEDS (default "1 2 3"); $PYTHON (default python). docs/transfer.md
exec "${PYTHON:-python}" "$(dirname "$0")/../../tools/run_transfer.py" --protocol base_to_new --trainer CoOp "$@"
