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
