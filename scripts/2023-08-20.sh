#!/usr/bin/env bash
# The notes' second run, 2023-08-20: the smaller set of 10,500 rows, 2 epochs.
set -euo pipefail
export DATASET=${DATASET:-llmscience_hq} EPOCHS=${EPOCHS:-2.0} OUTPUT_DIR=${OUTPUT_DIR:-sft_checkpoint_2023-08-20}
exec bash "$(dirname "$0")/step1_sft.sh" --profile 2023 "$@"
