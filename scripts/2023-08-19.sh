#!/usr/bin/env bash
# Repeats the training of 2023-08-19, the first one in the notes of 2023 (the three-step plan that this project carries
# out, written for LLaMA-Factory v0.1.6). It is STEP1 (LoRA, the model writes the letter) on all 39,600 rows of the
# Kaggle files, nothing removed, for 3 epochs; batch size 1 x 4, learning rate 5e-5, cosine, fp16. The notes trained
# Llama-2-7b-chat and report predict_accuracy 0.36.
#   MODEL=/models/Llama-2-7b-chat-hf bash scripts/2023-08-19.sh
# --profile 2023 sets the defaults of v0.1.6: LoRA on q and v, alpha 32, dropout 0.1, 1,024 tokens, a system prompt.
# Predict with: ADAPTER=sft_checkpoint_2023-08-19 bash scripts/step1_predict.sh --profile 2023
set -euo pipefail
export DATASET=${DATASET:-llmscience_raw_all} EPOCHS=${EPOCHS:-3.0} OUTPUT_DIR=${OUTPUT_DIR:-sft_checkpoint_2023-08-19}
exec bash "$(dirname "$0")/step1_sft.sh" --profile 2023 "$@"
