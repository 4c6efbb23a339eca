# Sourced by the other scripts: the project's folder, its Python, and functions that the commands share.
# The environment sets every value: MODEL=/models/Llama-2-7b-hf OUTPUT_DIR=run1 bash scripts/step1_sft.sh
unset CDPATH # with it, cd may go elsewhere, and prints where
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON=${PYTHON:-$ROOT/.venv/bin/python}
[ -x "$PYTHON" ] || PYTHON=$(command -v "$PYTHON" || command -v python3)

need() { # need NAME MEANING EXAMPLE: stop with a message if NAME is not set
    if [ -z "${!1:-}" ]; then
        echo "error: set $1, $2; for example: $1=${3:-...} bash $0" >&2
        exit 2
    fi
}

train_bash() { "$PYTHON" "$ROOT/src/train_bash.py" "$@"; }

# Predicts a labelled set and Kaggle's test set with the caller's function `predict DATASET OUTPUT_DIR FLAG...`.
predict_labelled_and_test() {
    predict "${EVAL_DATASET:-llmscience_official}" "$OUTPUT_DIR" "$@"
    TEST_DATASET=${TEST_DATASET:-llmscience_test}
    if [ "$TEST_DATASET" != llmscience_test ] || [ -f "$ROOT/data/raw/kaggle-llm-science-exam/test.csv" ]; then
        predict "$TEST_DATASET" "$OUTPUT_DIR/test" "$@"
    else
        echo "No data/raw/kaggle-llm-science-exam/test.csv: no submission written (data/README.md says how to fetch it)"
    fi
}
