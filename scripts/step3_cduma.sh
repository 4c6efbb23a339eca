#!/usr/bin/env bash
# STEP3, another head: DUMA and a gated comparison of the options with each other (CDUMA, our definition).
#   MODEL=/models/Llama-2-7b-hf bash scripts/step3_cduma.sh
#   MODEL=/models/Llama-2-7b-hf ADAPTER=mcq_checkpoint bash scripts/step3_cduma.sh   # continues from STEP2's classifier
# Predict with: MODEL=/models/Llama-2-7b-hf ADAPTER=cduma_checkpoint bash scripts/step2_predict.sh   # into cduma_predict
set -euo pipefail
export OUTPUT_DIR=${OUTPUT_DIR:-cduma_checkpoint}
exec bash "$(dirname "$0")/step2_mcq.sh" --mcq_head cduma --head_learning_rate "${HEAD_LEARNING_RATE:-1e-4}" "$@"
