#!/usr/bin/env bash
# Repeats the training of 2023-08-20, the second one in the notes of 2023 (the three-step plan that this project carries
# out, written for LLaMA-Factory v0.1.6). It is the command of 2023-08-19.sh on 10,500 rows chosen for quality, for 2
# epochs. The notes give no result and do not list the rows; llmscience_hq has up to 10,500, chosen by the audit score.
#   MODEL=/models/Llama-2-7b-chat-hf bash scripts/2023-08-20.sh
# Predict with: ADAPTER=sft_checkpoint_2023-08-20 bash scripts/step1_predict.sh --profile 2023
set -euo pipefail
export DATASET=${DATASET:-llmscience_hq} EPOCHS=${EPOCHS:-2.0} OUTPUT_DIR=${OUTPUT_DIR:-sft_checkpoint_2023-08-20}
exec bash "$(dirname "$0")/step1_sft.sh" --profile 2023 "$@"
