#!/usr/bin/env bash
# `make demo`: the notes' STEP1, STEP2 and STEP3 with scored predictions, small, on a CPU and without any download. The model is
# a tiny Llama with random weights, so its score says nothing; what is shown is the whole way from questions to a score.
set -euo pipefail
source "$(dirname "$0")/common.sh"
OUT=${DEMO_DIR:-$ROOT/out/demo}
rm -rf "$OUT"
mkdir -p "$OUT"

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # a model this small: more threads only wait for each other

run() { # run TITLE LOG COMMAND...: the output goes to a log, whose end is shown when the command fails
    local title=$1 log=$2 start=$SECONDS
    shift 2
    echo "== $title"
    if ! "$@" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        echo "error: failed; the whole log is $log" >&2
        exit 1
    fi
    echo "   $((SECONDS - start)) s, log: ${log#"$ROOT/"}"
}

run "A random Llama, its tokenizer trained on the demo's questions" "$OUT/model.log" \
    "$PYTHON" "$ROOT/scripts/make_tiny_llama.py" "$OUT/tiny-llama" --text "$ROOT/data/demo/questions.jsonl"

export MODEL=$OUT/tiny-llama PRECISION=
run "STEP1: LoRA SFT on llmscience_demo (40 questions, 3 epochs), the notes' command" "$OUT/train.log" \
    env DATASET=llmscience_demo OUTPUT_DIR="$OUT/sft_checkpoint" bash "$ROOT/scripts/step1_sft.sh"
run "STEP1: prediction, generated text and letter probabilities" "$OUT/predict.log" \
    env ADAPTER="$OUT/sft_checkpoint" OUTPUT_DIR="$OUT/sft_predict" EVAL_DATASET=llmscience_demo BATCH_SIZE=8 \
    TEST_DATASET=llmscience_demo bash "$ROOT/scripts/step1_predict.sh"
run "STEP2: a classifier over the options, all weights trained (40 questions, 30 epochs)" "$OUT/mcq_train.log" \
    env DATASET=llmscience_demo OUTPUT_DIR="$OUT/mcq_checkpoint" FINETUNING_TYPE=full LEARNING_RATE=2e-3 EPOCHS=30 \
    BATCH_SIZE=8 ACCUMULATION=1 bash "$ROOT/scripts/step2_mcq.sh" --save_strategy no
run "STEP2: prediction" "$OUT/mcq_predict.log" \
    env MODEL="$OUT/mcq_checkpoint" ADAPTER= OUTPUT_DIR="$OUT/mcq_predict" EVAL_DATASET=llmscience_demo \
    TEST_DATASET=llmscience_demo bash "$ROOT/scripts/step2_predict.sh"

run "STEP3: CDUMA and a loss for MAP@3, all weights trained (40 questions, 30 epochs)" "$OUT/cduma_train.log" \
    env DATASET=llmscience_demo OUTPUT_DIR="$OUT/cduma_checkpoint" FINETUNING_TYPE=full LEARNING_RATE=2e-3 EPOCHS=30 \
    BATCH_SIZE=8 ACCUMULATION=1 HEAD_LEARNING_RATE=2e-3 bash "$ROOT/scripts/step3_cduma.sh" --save_strategy no \
    --mcq_loss cross_entropy:0.5+expected_map3:0.5 --mcq_loss_warmup_ratio 0.3
run "STEP3: prediction" "$OUT/cduma_predict.log" \
    env MODEL="$OUT/cduma_checkpoint" ADAPTER= OUTPUT_DIR="$OUT/cduma_predict" EVAL_DATASET=llmscience_demo \
    TEST_DATASET=llmscience_demo bash "$ROOT/scripts/step2_predict.sh"

echo
"$PYTHON" "$ROOT/scripts/compare.py" "STEP1, letters=$OUT/sft_predict" "STEP2, linear head=$OUT/mcq_predict" \
    "STEP3, CDUMA=$OUT/cduma_predict"
echo
echo "STEP1 stays near chance: LoRA on frozen random weights learns nothing. STEP2's and STEP3's models had all their"
echo "weights trained, and are scored on the questions that they were trained on: the way from questions to scores works,"
echo "no more is shown."
echo "Files: ${OUT#"$ROOT/"}/{sft,mcq,cduma}_predict/{predict_results.json,predictions.jsonl,submission.csv}"
