#!/usr/bin/env bash
# STEP3, another head: STEP2's linear classifier and DUMA, co-attention between passage and option.
#   MODEL=/models/Llama-2-7b-hf bash scripts/step3_duma.sh
#   MODEL=/models/Llama-2-7b-hf ADAPTER=mcq_checkpoint bash scripts/step3_duma.sh   # continues from STEP2's classifier
#   MODEL=/models/Llama-2-7b-hf ADAPTER=sft_checkpoint bash scripts/step3_duma.sh --mcq_duma_preset paper
# Predict with: MODEL=/models/Llama-2-7b-hf ADAPTER=duma_checkpoint bash scripts/step2_predict.sh   # into duma_predict
set -euo pipefail
export OUTPUT_DIR=${OUTPUT_DIR:-duma_checkpoint}
exec bash "$(dirname "$0")/step2_mcq.sh" --mcq_head duma --head_learning_rate "${HEAD_LEARNING_RATE:-1e-4}" "$@"
