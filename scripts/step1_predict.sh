#!/usr/bin/env bash
# STEP1, prediction: scores a labelled set, then writes the submission if Kaggle's test questions are in data/raw/.
#   MODEL=/models/Llama-2-7b-hf ADAPTER=sft_checkpoint EVAL_DATASET=llmscience_official bash scripts/step1_predict.sh
set -euo pipefail
source "$(dirname "$0")/common.sh"
need MODEL "the folder of the base model" /models/Llama-2-7b-hf
[ -z "${PRECISION-x}" ] || PRECISION=${PRECISION:-fp16}
OUTPUT_DIR=${OUTPUT_DIR:-sft_predict}
ADAPTER=${ADAPTER-sft_checkpoint} # ADAPTER= (empty) for a base model, or one that was trained in full

predict() { # predict DATASET OUTPUT_DIR
    local dataset=$1 output_dir=$2
    shift 2
    train_bash \
        --stage sft --model_name_or_path "$MODEL" ${ADAPTER:+--adapter_name_or_path "$ADAPTER"} --do_predict \
        --eval_dataset "$dataset" --template "${TEMPLATE:-llama2}" --finetuning_type "${FINETUNING_TYPE:-lora}" \
        --output_dir "$output_dir" --per_device_eval_batch_size "${BATCH_SIZE:-1}" --predict_with_generate \
        --max_new_tokens "${MAX_NEW_TOKENS:-8}" --do_sample "${DO_SAMPLE:-True}" ${PRECISION:+"--$PRECISION"} "$@"
}

predict_labelled_and_test "$@"
