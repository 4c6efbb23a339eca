# Sourced by the other scripts: where the project and its Python are, and what every command shares.
# Every value can be set from the environment: MODEL=/models/Llama-2-7b-hf OUTPUT_DIR=run1 bash scripts/step1_sft.sh
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-$ROOT/.venv/bin/python}
[ -x "$PYTHON" ] || PYTHON=$(command -v "$PYTHON" || command -v python3)

need() { # need NAME MEANING: stop with a message where a value has no default
    if [ -z "${!1:-}" ]; then
        echo "error: set $1, $2; for example: $1=${3:-...} bash $0" >&2
        exit 2
    fi
}

train_bash() { "$PYTHON" "$ROOT/src/train_bash.py" "$@"; }

# Both sets of a prediction, through the caller's `predict DATASET OUTPUT_DIR FLAG...`.
predict_labelled_and_test() {
    predict "${EVAL_DATASET:-llmscience_official}" "$OUTPUT_DIR" "$@"
    TEST_DATASET=${TEST_DATASET:-llmscience_test}
    if [ "$TEST_DATASET" != llmscience_test ] || [ -f "$ROOT/data/raw/kaggle-llm-science-exam/test.csv" ]; then
        predict "$TEST_DATASET" "$OUTPUT_DIR/test" "$@"
    else
        echo "No data/raw/kaggle-llm-science-exam/test.csv: no submission written (data/README.md says how to fetch it)"
    fi
}
