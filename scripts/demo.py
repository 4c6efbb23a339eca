#!/usr/bin/env python3
"""What `make demo` does: what a small language model knows, and what STEP1, STEP2 and STEP3 teach it.

    python scripts/demo.py            # DEMO_DIR=FOLDER puts its files there instead of out/demo

All runs of the table score the 160 test questions of data/elementary; trainings use its 120 training questions. The
language model is SmolLM2-135M-Instruct if its package is installed, else a random Llama. A small encoder (MiniLM)
follows, and one line about the harder exam in data/exam. Needs neither a GPU nor the hub.

Each run is one command of src/train_bash.py; its log begins with that command.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import build_index
import make_tiny_llama
import minilm
import smollm2
from demo_parts.closing import closing
from demo_parts.process import in_a_process, log_of, show_end, shown
from demo_parts.runs import GIVEN, INDEX, LanguageModel, encoder_runs, language_runs, random_llama, with_lora

from llmtuner.cli.devices import has_bf16_kernels
from llmtuner.console import escape_unprintable
from llmtuner.report.comparison import read_arms, score_lines

ROOT = Path(__file__).resolve().parents[1]
MARK = ".llmtuner-demo"
TINY = "tiny-llama"


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return 0, 1 if a run failed, or 2 if the folder is not the demo's."""
    escape_unprintable()
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    ).parse_args(argv)
    out = Path(os.environ.get("DEMO_DIR") or ROOT / "out" / "demo").absolute()
    try:
        prepare(out)
    except OSError as error:
        print(f"error: DEMO_DIR {error}", file=sys.stderr)
        return 2
    start = time.monotonic()
    print("== An index of 640 facts, half of which answer no question")
    with log_of(out / f"{INDEX}.log"):
        status = build_index.main([str(ROOT / "data" / "elementary" / "corpus.jsonl"), "--out", str(out / INDEX)])
    if status:
        show_end(out / f"{INDEX}.log")
        return 1
    model = language_model(out)
    runs = language_runs(model, out)
    in_a_process(runs, out)
    encoder = _folder_of(minilm)
    if encoder is not None:
        of_encoder = encoder_runs(encoder, out)
        in_a_process(of_encoder, out)
        runs += of_encoder
    print()
    arms, _ = read_arms({run.row: [out / run.name] for run in runs if run.row})
    print("\n".join(score_lines(arms)))
    print("", *closing(out, model), sep="\n")
    print(f"{time.monotonic() - start:.0f} s. Files: {shown(out)}/*_predict/{{predict_results.json,predictions.jsonl}}")
    return 0


def prepare(out: Path) -> None:
    """Delete what an earlier demo made, and nothing else; DEMO_DIR may name any folder of the user's.

    Raises:
        OSError: the folder was not made by the demo, or cannot be written.
    """
    mark = out / MARK
    if out.exists() and not mark.is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(
            f"{out}: not made by this demo (it has no {MARK}), so nothing in it is deleted; name a new or an empty "
            "folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name in made_names(out):
        path = out / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    mark.write_text("scripts/demo.py deletes its own files in this folder when it starts again.\n", encoding="utf-8")
    for part in GIVEN:
        _write_closed_book(part, out)


def made_names(out: Path) -> list[str]:
    """Every name in the demo's folder that a demo makes, with whatever models are installed."""
    runs = [*language_runs(random_llama(""), out), *encoder_runs("", out)]
    return [
        TINY,
        *(f"closed_{part}.jsonl" for part in GIVEN),
        *(f"{name}{end}" for name in (INDEX, *(run.name for run in runs)) for end in ("", ".log")),
    ]


def _write_closed_book(part: str, out: Path) -> None:
    """The same questions without their facts."""
    with (ROOT / "data" / "elementary" / f"{part}.jsonl").open(encoding="utf-8") as given:
        rows = [json.loads(line) | {"context": ""} for line in given]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / f"closed_{part}.jsonl").write_text(text, encoding="utf-8")


def language_model(out: Path) -> LanguageModel:
    """SmolLM2 where it is installed, else a random Llama."""
    folder = _folder_of(smollm2)
    if folder is not None:
        return with_lora("SmolLM2", folder, "smollm2", ("--bf16",) if has_bf16_kernels() else ())
    tiny = out / TINY
    print("SmolLM2 is not installed: a random Llama with 0.2M parameters takes its place")
    make_tiny_llama.main([str(tiny), "--text", str(ROOT / "data" / "elementary" / "train.jsonl")])
    return random_llama(str(tiny))


def _folder_of(script: object) -> str | None:
    """The folder that a script of models prints; None if the model is not installed, which the script says."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = script.main([])  # type: ignore[attr-defined]
    return printed.getvalue().strip() if status == 0 else None


if __name__ == "__main__":
    sys.exit(main())
