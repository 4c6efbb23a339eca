#!/usr/bin/env bash
# STEP1, training: LoRA SFT on the llmscience data. Without overrides, this is word for word the training command in the
# notes of 2023, the three-step plan that this project carries out.
# More flags go at the end: MODEL=/models/Llama-2-7b-hf bash scripts/step1_sft.sh --seed 1
set -euo pipefail
source "$(dirname "$0")/common.sh"
need MODEL "the folder of the base model" /models/Llama-2-7b-hf
[ -z "${PRECISION-x}" ] || PRECISION=${PRECISION:-fp16} # PRECISION= (empty) for fp32, bf16 on newer GPUs

train_bash \
    --stage sft --model_name_or_path "$MODEL" --do_train --dataset "${DATASET:-llmscience}" \
    --template "${TEMPLATE:-llama2}" --finetuning_type "${FINETUNING_TYPE:-lora}" \
    --output_dir "${OUTPUT_DIR:-sft_checkpoint}" --overwrite_cache \
    --per_device_train_batch_size "${BATCH_SIZE:-1}" --gradient_accumulation_steps "${ACCUMULATION:-4}" \
    --lr_scheduler_type "${SCHEDULER:-cosine}" --logging_steps "${LOGGING_STEPS:-10}" \
    --save_steps "${SAVE_STEPS:-1000}" --learning_rate "${LEARNING_RATE:-5e-5}" \
    --num_train_epochs "${EPOCHS:-3.0}" --plot_loss ${PRECISION:+"--$PRECISION"} "$@"
