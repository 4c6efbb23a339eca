#!/usr/bin/env bash
# STEP3, another loss: cross-entropy for the first 30 % of the steps, then the mean of cross-entropy and 1 - expected
# MAP@3.
#   MODEL=/models/Llama-2-7b-hf bash scripts/step3_losses.sh
#   MODEL=/models/Llama-2-7b-hf LOSS=lambda_map3 WARMUP=0 bash scripts/step3_losses.sh
# Predict with: MODEL=/models/Llama-2-7b-hf ADAPTER=map3_checkpoint bash scripts/step2_predict.sh   # into map3_predict
set -euo pipefail
export OUTPUT_DIR=${OUTPUT_DIR:-map3_checkpoint}
exec bash "$(dirname "$0")/step2_mcq.sh" --mcq_loss "${LOSS:-cross_entropy:0.5+expected_map3:0.5}" \
    --mcq_loss_warmup_ratio "${WARMUP:-0.3}" "$@"
