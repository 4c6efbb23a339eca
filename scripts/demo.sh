#!/usr/bin/env bash
# `make demo`: the notes' STEP1 command and a scored prediction, small, on a CPU and without any download. The model is
# a tiny Llama with random weights, so its score says nothing; what is shown is the whole way from questions to a score.
set -euo pipefail
source "$(dirname "$0")/common.sh"
OUT=${DEMO_DIR:-$ROOT/out/demo}
rm -rf "$OUT"
mkdir -p "$OUT"

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

echo
grep -A 4 '^ *MAP@3' "$OUT/predict.log" | head -n 5
echo
echo "A random model stays near chance: nothing can be learned by LoRA on frozen random weights."
echo "Files: ${OUT#"$ROOT/"}/sft_predict/{predict_results.json,predictions.jsonl,submission.csv}"
