#!/usr/bin/env bash
# The notes' first run, 2023-08-19: all 39,600 rows as they come, 3 epochs. It reached predict_accuracy 0.36.
# --profile 2023 brings back that summer's defaults (LoRA on q and v, alpha 32, dropout 0.1, lengths, system prompt).
set -euo pipefail
export DATASET=${DATASET:-llmscience_raw_all} EPOCHS=${EPOCHS:-3.0} OUTPUT_DIR=${OUTPUT_DIR:-sft_checkpoint_2023-08-19}
exec bash "$(dirname "$0")/step1_sft.sh" --profile 2023 "$@"
