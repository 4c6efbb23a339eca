#!/usr/bin/env bash
# STEP2, prediction: scores a labelled set, then writes the submission if Kaggle's test questions are in data/raw/.
#   MODEL=/models/Llama-2-7b-hf ADAPTER=mcq_checkpoint EVAL_DATASET=llmscience_official bash scripts/step2_predict.sh
# Head, pooling and template are stored with the adapter. Results of duma_checkpoint go to duma_predict, unless
# OUTPUT_DIR is set.
set -euo pipefail
source "$(dirname "$0")/common.sh"
need MODEL "the folder of the base model" /models/Llama-2-7b-hf
[ -z "${PRECISION-x}" ] || PRECISION=${PRECISION:-fp16}
ADAPTER=${ADAPTER-mcq_checkpoint} # ADAPTER= (empty) for a model that was trained in full
trained=${ADAPTER:-mcq_checkpoint} && trained=${trained##*,} && trained=${trained%/} # of several, the last
OUTPUT_DIR=${OUTPUT_DIR:-${trained%_checkpoint}_predict}

predict() { # predict DATASET OUTPUT_DIR
    local dataset=$1 output_dir=$2
    shift 2
    train_bash \
        --stage mcq --model_name_or_path "$MODEL" ${ADAPTER:+--adapter_name_or_path "$ADAPTER"} --do_predict \
        --eval_dataset "$dataset" ${TEMPLATE:+--template "$TEMPLATE"} --output_dir "$output_dir" --per_device_eval_batch_size "${BATCH_SIZE:-8}" \
        ${PRECISION:+"--$PRECISION"} "$@"
}

predict_labelled_and_test "$@"
