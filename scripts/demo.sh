#!/usr/bin/env bash
# `make demo`: STEP1, STEP2 and STEP3 on a tiny random Llama, then a small encoder with and without the passages. All are
# trained on the training questions of the exam that ships with the project and scored on its test questions. Needs
# neither a GPU nor the hub.
set -euo pipefail
source "$(dirname "$0")/common.sh"
OUT=${DEMO_DIR:-$ROOT/out/demo}

# What an earlier demo made, and nothing else, is deleted. DEMO_DIR may name any folder of the user's.
MARK=.llmtuner-demo
MADE=(tiny-llama {model,train,predict,mcq_train,mcq_predict,cduma_train,cduma_predict}.log
    {sft,mcq,cduma,closed,open}_{checkpoint,predict} {closed,open}.{train,predict}.log closed_{train,test}.jsonl)
if [ -n "${DEMO_DIR:-}" ] && [ -e "$OUT" ] && [ ! -f "$OUT/$MARK" ]; then
    if [ ! -d "$OUT" ] || [ -n "$(ls -A -- "$OUT")" ]; then
        echo "error: DEMO_DIR $OUT: not made by this demo (it has no $MARK), so nothing in it is deleted; name a new or" \
            "an empty folder" >&2
        exit 2
    fi
fi
mkdir -p -- "$OUT"
(cd -- "$OUT" && rm -rf -- "${MADE[@]}")
echo "scripts/demo.sh deletes its own files in this folder when it starts again." >"$OUT/$MARK"

run() { # run TITLE LOG COMMAND...: write the output to a log, and show its end if the command fails
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

run "A random Llama, its tokenizer trained on the exam's questions" "$OUT/model.log" \
    "$PYTHON" "$ROOT/scripts/make_tiny_llama.py" "$OUT/tiny-llama" --text "$ROOT/data/exam/train.jsonl"

export MODEL=$OUT/tiny-llama PRECISION= EVAL_DATASET=llmscience_demo_test
export DATASET=llmscience_demo_train
(
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # a model this small: more threads only wait for each other
    run "STEP1: LoRA SFT (40 questions, 3 epochs)" "$OUT/train.log" \
        env OUTPUT_DIR="$OUT/sft_checkpoint" bash "$ROOT/scripts/step1_sft.sh" --max_samples 40
    run "STEP1: prediction, generated text and letter probabilities" "$OUT/predict.log" \
        env ADAPTER="$OUT/sft_checkpoint" OUTPUT_DIR="$OUT/sft_predict" BATCH_SIZE=16 \
        bash "$ROOT/scripts/step1_predict.sh" --max_new_tokens 2
    run "STEP2: a classifier over the options, all weights trained (3 epochs)" "$OUT/mcq_train.log" \
        env OUTPUT_DIR="$OUT/mcq_checkpoint" FINETUNING_TYPE=full LEARNING_RATE=1e-3 EPOCHS=3 BATCH_SIZE=8 ACCUMULATION=1 \
        bash "$ROOT/scripts/step2_mcq.sh" --save_strategy no
    run "STEP2: prediction" "$OUT/mcq_predict.log" \
        env MODEL="$OUT/mcq_checkpoint" ADAPTER= OUTPUT_DIR="$OUT/mcq_predict" bash "$ROOT/scripts/step2_predict.sh"
    run "STEP3: CDUMA and a loss for MAP@3, all weights trained (3 epochs)" "$OUT/cduma_train.log" \
        env OUTPUT_DIR="$OUT/cduma_checkpoint" FINETUNING_TYPE=full LEARNING_RATE=1e-3 EPOCHS=3 BATCH_SIZE=8 ACCUMULATION=1 \
        HEAD_LEARNING_RATE=1e-3 bash "$ROOT/scripts/step3_cduma.sh" --save_strategy no \
        --mcq_loss cross_entropy:0.5+expected_map3:0.5 --mcq_loss_warmup_ratio 0.3
    run "STEP3: prediction" "$OUT/cduma_predict.log" \
        env MODEL="$OUT/cduma_checkpoint" ADAPTER= OUTPUT_DIR="$OUT/cduma_predict" bash "$ROOT/scripts/step2_predict.sh"
)

encoder() { # encoder NAME TRAIN TEST: MiniLM's last two layers through STEP2's classifier, one epoch
    local name=$1 train=$2 test=$3
    run "MiniLM, $name book: training" "$OUT/$name.train.log" \
        train_bash --stage mcq --model_name_or_path "$MINILM" --do_train --dataset "$train" --finetuning_type freeze \
        --freeze_trainable_layers 2 --output_dir "$OUT/${name}_checkpoint" --learning_rate 1e-4 --head_learning_rate 1e-3 \
        --warmup_steps 5 --mcq_dropout 0 --mcq_tokens_per_batch 2048 --cutoff_len 256 --num_train_epochs 1 \
        --save_strategy no --seed 1
    run "MiniLM, $name book: prediction" "$OUT/$name.predict.log" \
        train_bash --stage mcq --model_name_or_path "$OUT/${name}_checkpoint" --do_predict --eval_dataset "$test" \
        --output_dir "$OUT/${name}_predict" --mcq_tokens_per_batch 8192
}

ROWS=("STEP1, letters=$OUT/sft_predict" "STEP2, linear head=$OUT/mcq_predict" "STEP3, CDUMA=$OUT/cduma_predict")
DIFFERENCE=()
if MINILM=$("$PYTHON" "$ROOT/scripts/minilm.py"); then
    for part in train test; do # the same questions without their passages
        "$PYTHON" - "$ROOT/data/exam/$part.jsonl" "$OUT/closed_$part.jsonl" <<'PY'
import json, sys
with open(sys.argv[1], encoding="utf-8") as given, open(sys.argv[2], "w", encoding="utf-8") as bare:
    bare.writelines(json.dumps({**json.loads(line), "context": ""}) + "\n" for line in given)
PY
    done
    encoder closed "$OUT/closed_train.jsonl" "$OUT/closed_test.jsonl"
    encoder open llmscience_demo_train llmscience_demo_test
    ROWS+=("MiniLM, closed book=$OUT/closed_predict" "MiniLM, open book=$OUT/open_predict")
    DIFFERENCE=(--difference "MiniLM, open book" "MiniLM, closed book")
fi

echo
"$PYTHON" "$ROOT/scripts/compare.py" "${ROWS[@]}" "${DIFFERENCE[@]}"
echo
echo "STEP1 to STEP3 use a random model with 0.2M parameters here, so they show only that the commands work."
echo "MiniLM is a small pretrained encoder; open book means that it reads the passage of each question."
echo "Files: ${OUT#"$ROOT/"}/*_predict/{predict_results.json,predictions.jsonl,submission.csv}"
