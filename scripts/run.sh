#!/usr/bin/env bash
# bash scripts/<method>/<protocol>.sh DATASET SHOTS [...]: each of these files is a link to this one.
#
#   main.sh DATASET SHOTS [CFG] [KEY VALUE ...]                     several seeds, then the table
#   incremental.sh DATASET SHOTS [STEPS] [CFG] [KEY VALUE ...]      classes learned set by set
#   base_to_new.sh DATASET SHOTS [CFG] [KEY VALUE ...]              half of the classes, tested on the other half
#   cross_dataset.sh SOURCE SHOTS [TARGET ...] [CFG] [KEY VALUE ...]            tested on other data sets
#   domain_generalization.sh SOURCE SHOTS [TARGET ...] [CFG] [KEY VALUE ...]    tested on other domains
#
# $DATA: data root (default data); $SEEDS (default "1 2 3"); $PYTHON (default python). `--help` says more.
export LAMM_SCRIPT # the program's name in --help and in errors
LAMM_SCRIPT=$(basename "$0")
folder=$(cd "$(dirname "$0")" && pwd)
if [ "$LAMM_SCRIPT" = run.sh ]; then
    exec "${PYTHON:-python}" "$folder/../tools/run.py" "$@" # run.sh METHOD PROTOCOL ...
fi
exec "${PYTHON:-python}" "$folder/../../tools/run.py" "$(basename "$folder")" "${LAMM_SCRIPT%.sh}" "$@"
