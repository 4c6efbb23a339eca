#!/usr/bin/env python3
"""Do co-attention heads or losses for MAP@3 help, and when? Every head with every loss, against STEP2.

    python benchmarks/heads_and_losses.py --data DATA --encoder MINILM --causal STEP2_MODEL [--minutes 60]
    python benchmarks/heads_and_losses.py --data DATA --encoder MINILM --report

Three stages, each in pieces that are kept in --work and never computed twice, so that it may be stopped at any time:

- frozen: token states of the encoder, computed once; every head with every loss on them, 5 seeds;
- encoder: the whole encoder, 2,000 training questions, the best three combinations and STEP2's, 3 seeds or --seeds;
- causal: the same combinations on a small causal model that STEP2 trained from scratch, through packed rows; ScienceQA.

Results go to --work, unless --out and --plot say otherwise. The best three are those with the highest MAP@3 on the
training questions that the frozen stage is tuned by. DATA holds the folders kaggle and scienceqa with their
files; no test question takes part in any choice.

With a GPU, LoRA on a large model, flags behind -- going to every training:

    python benchmarks/heads_and_losses.py --data DATA --model_name_or_path Llama-2-7b-hf --stages whole \\
        --combinations duma/cross_entropy linear/cross_entropy:0.5+expected_map3:0.5 -- --bf16 --template llama2
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import torch  # noqa: E402
from evidence import report, tables, whole  # noqa: E402
from evidence.cells import BASELINE, Cell, Found, claim, load, load_all, save  # noqa: E402
from evidence.command_line import own_and_passed_on  # noqa: E402
from evidence.exams import EXAMS, TUNED_ON, Exam  # noqa: E402

from llmtuner.errors import UserError  # noqa: E402
from llmtuner.mcq.heads import HEADS  # noqa: E402
from llmtuner.mcq.objective import parse_loss  # noqa: E402
from llmtuner.spec.losses import LOSSES as DECLARED  # noqa: E402

MIXTURE = "cross_entropy:0.5+expected_map3:0.5"
LOSSES = (*DECLARED, MIXTURE)
FROZEN_SEEDS, WHOLE_SEEDS = range(5), 3
BEST = 3
MODELS = ("encoder", "causal", "model_name_or_path")


def frozen_cells() -> Iterator[Cell]:
    """Seeds in the outer loop: a comparison that is stopped has every combination as often."""
    for seed in FROZEN_SEEDS:
        for exam in EXAMS:
            for head in HEADS:
                for loss in LOSSES:
                    yield Cell("frozen", exam, head, loss, seed)


def whole_cells(chosen: list[tuple[str, str]], stages: dict[str, tuple[str, ...]], seeds: int) -> Iterator[Cell]:
    """The chosen combinations and STEP2's, for each stage with its exams."""
    chosen = [BASELINE, *(pair for pair in chosen if pair != BASELINE)]
    for seed in range(seeds):
        for stage, exams in stages.items():
            for exam in exams:
                for head, loss in chosen:
                    yield Cell(stage, exam, head, loss, seed)


def best(found: dict[Cell, Found]) -> list[tuple[str, str]]:
    """The combinations with the highest MAP@3 on what is tuned by, the mean over exams and seeds."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for cell, result in found.items():
        if "tuned_map@3" in result.more and (cell.head, cell.loss) != BASELINE:
            values[cell.head, cell.loss].append(result.more["tuned_map@3"])
    return sorted(values, key=lambda pair: -sum(values[pair]) / len(values[pair]))[:BEST]


def run_frozen(args: argparse.Namespace, exams: dict[str, Exam], deadline: float) -> None:
    """Cache the states, then train what is missing."""
    from evidence.frozen import FrozenExam
    from evidence.states import cache_states
    from transformers import AutoModel, AutoTokenizer

    missing = [cell for cell in frozen_cells() if cell.exam in exams and not cell.path(args.work / "cells").is_file()]
    if not missing:
        return
    tokenizer = AutoTokenizer.from_pretrained(args.encoder)
    model = AutoModel.from_pretrained(args.encoder, use_safetensors=True).eval().to(args.device)
    ready: dict[str, Any] = {}
    for name, exam in exams.items():
        folder = args.work / "states" / name
        parts = [
            cache_states(model, tokenizer, questions, folder / part, args.cutoff_len)
            for part, questions in (("train", exam.train), ("test", exam.test))
        ]
        ready[name] = FrozenExam(exam, *parts, model.config.to_dict())
    del model
    for cell in [cell for cell in missing if _share(cell) % args.parts == args.part]:
        if time.monotonic() > deadline:
            return
        first = replace(cell, seed=FROZEN_SEEDS[0]).path(args.work / "cells")
        rate = load(first).more["learning_rate"] if cell.seed != FROZEN_SEEDS[0] else None
        save(ready[cell.exam].run(cell, rate), cell, args.work / "cells")
        print(f"{cell.stage} {cell.exam} {cell.name} seed {cell.seed}", flush=True)


def _share(cell: Cell) -> int:
    """All seeds of a combination fall to one process, since the first one chooses the learning rate."""
    return zlib.crc32(f"{cell.exam} {cell.name}".encode())


def run_whole(args: argparse.Namespace, exams: dict[str, Exam], deadline: float) -> None:
    """Train what is missing, `--parallel` processes at a time."""
    models = {"encoder": args.encoder, "causal": args.causal, "llm": args.model_name_or_path}
    stages = {"encoder": tuple(exams), "causal": ("scienceqa",) if "scienceqa" in exams else (), "llm": tuple(exams)}
    stages = {name: names for name, names in stages.items() if models[name] is not None}
    wanted = [cell for cell in frozen_cells() if cell.exam in exams]
    if not args.combinations and not all(cell.path(args.work / "cells").is_file() for cell in wanted):
        print("The frozen stage is not complete: what is best is chosen after it, or named with --combinations")
        return
    chosen = [tuple(pair.split("/", 1)) for pair in args.combinations] or best(_of(exams, args.work))
    for exam in exams.values():
        whole.write_exam(exam, args.work)
    if args.causal is not None:
        models["causal"] = whole.without_head(args.causal, args.work)
    cells, failed = list(whole_cells(chosen, stages, args.seeds)), Event()

    def one(cell: Cell) -> None:
        if failed.is_set() or time.monotonic() > deadline or cell.path(args.work / "cells").is_file():
            return
        try:
            found = whole.run(cell, exams[cell.exam], str(models[cell.stage]), args.work, args.threads, args.flags)
        except BaseException:
            failed.set()
            raise
        save(found, cell, args.work / "cells")
        print(f"{cell.stage} {cell.exam} {cell.name} seed {cell.seed}: {found.seconds:.0f} s", flush=True)

    with ThreadPoolExecutor(args.parallel) as pool:
        list(pool.map(one, cells))


def _of(exams: dict[str, Exam], work: Path) -> dict[Cell, Found]:
    return {cell: result for cell, result in load_all(work / "cells").items() if cell.exam in exams}


def recipe() -> dict[str, Any]:
    """What must be the same in all pieces of one comparison."""
    from evidence import frozen

    names = ("BATCH", "POOL", "EPOCHS", "WEIGHT_DECAY", "WARMUP", "PASSAGE", "RATES", "MOST_RATES", "WIDTH")
    stages = {name: flags.split() for name, flags in whole.STAGES.items()}
    kept = {name: getattr(frozen, name) for name in names}
    kept |= {"TRAINED_ON": whole.TRAINED_ON, "HEAD_RATES": whole.HEAD_RATES, "STAGES": stages, "TUNED_ON": TUNED_ON}
    return json.loads(json.dumps(kept))


def _command(args: argparse.Namespace) -> str:
    """What was run, without the places of this machine."""
    words = ["python benchmarks/heads_and_losses.py --data DATA"]
    words += [f"--{name} {name.upper()}" for name in MODELS if getattr(args, name) is not None]
    words += [f"--combinations {' '.join(args.combinations)}"] if args.combinations else []
    words += [f"--seeds {args.seeds}"] if args.seeds != WHOLE_SEEDS else []
    words += [f"--exams {' '.join(args.exams)}"] if list(args.exams) != list(EXAMS) else []
    return " ".join([*words, *(["--", *args.flags] if args.flags else [])])


def write_report(args: argparse.Namespace, exams: dict[str, Exam]) -> None:
    """Results as JSON, Markdown and a plot.

    Raises:
        SystemExit: there are none, which would take the place of earlier ones.
    """
    found = _of(exams, args.work)
    if not found:
        raise SystemExit(f"error: no results in {args.work}")
    rows, floors = report.summarise(found, exams), report.floors_of(exams)
    stored = {
        "command": _command(args),
        "commits": sorted({result.commit for result in found.values()}),
        "machines": sorted({result.machine for result in found.values()}),
        "threads": args.threads,
        "questions": {name: {"train": len(exam.train), "test": len(exam.test)} for name, exam in exams.items()},
        "chosen": [" + ".join(pair) for pair in best(found)],
        "floors": floors,
        "rows": rows,
    }
    (args.out or args.work / "heads_and_losses.json").write_text(json.dumps(stored, indent=1) + "\n")
    report.plot(rows, args.plot or args.work / "heads_and_losses.svg")
    text = tables.markdown(rows, floors)
    (args.work / "heads_and_losses.md").write_text(text + "\n")
    print(text)


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse what would fail after hours: status 2 and a line."""
    if not args.report and "frozen" in args.stages and args.encoder is None:
        parser.error("the frozen stage needs --encoder; or pass --stages whole with --combinations")
    for folder in (args.encoder, args.causal):
        if folder is not None and not folder.is_dir():
            parser.error(f"no folder {folder}")
    for pair in args.combinations:
        head, _, loss = pair.partition("/")
        if head not in HEADS:
            parser.error(f"--combinations {pair}: the form is HEAD/LOSS, heads are {', '.join(HEADS)}")
        try:
            parse_loss(loss)
        except UserError as error:
            parser.error(f"--combinations {pair}: {error}")


def main() -> None:
    """Run the stages that are asked for, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with kaggle/ and scienceqa/")
    parser.add_argument("--encoder", type=Path, help="folder of a bidirectional encoder")
    parser.add_argument("--causal", type=Path, help="folder of a causal model")
    parser.add_argument("--model_name_or_path", help="a large model, trained with LoRA")
    parser.add_argument("--combinations", nargs="+", default=[], help="HEAD/LOSS, in place of the best three")
    parser.add_argument("--seeds", type=int, default=WHOLE_SEEDS, help="of whole models; those on frozen states have 5")
    parser.add_argument("--exams", nargs="+", choices=EXAMS, default=list(EXAMS))
    parser.add_argument("--stages", nargs="+", choices=("frozen", "whole"), default=("frozen", "whole"))
    parser.add_argument("--report", action="store_true", help="only report what is there")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no new piece after so long")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "heads_and_losses")
    parser.add_argument("--out", type=Path, help="the results as JSON; in --work")
    parser.add_argument("--plot", type=Path, help="the differences as SVG; in --work")
    parser.add_argument(
        "--device", default="cpu", help="of the frozen stage; whole models take a GPU where there is one"
    )
    parser.add_argument("--threads", type=int, default=1, help="of a training")
    parser.add_argument("--parallel", type=int, default=1, help="trainings of whole models at a time")
    parser.add_argument("--part", type=int, default=0, help="of the frozen stage: this process's share ...")
    parser.add_argument("--parts", type=int, default=1, help="... of so many")
    parser.add_argument("--cutoff_len", type=int, default=256)
    own, flags = own_and_passed_on(sys.argv[1:])
    args = parser.parse_args(own, argparse.Namespace(flags=flags))
    check(args, parser)
    torch.set_num_threads(args.threads)
    deadline = time.monotonic() + 60 * args.minutes
    try:
        exams = {name: EXAMS[name](args.data) for name in args.exams}
    except UserError as error:
        parser.error(f"--data {args.data}: {error}")
    if not args.report:
        models = {name: getattr(args, name) for name in MODELS}
        about = {name: str(model) for name, model in models.items() if model is not None}
        about |= {"flags": args.flags} if "whole" in args.stages else {}  # which go to no training on frozen states
        claim(args.work, {**about, "data": str(args.data), "cutoff_len": args.cutoff_len, "recipe": recipe()})
        if "frozen" in args.stages:
            run_frozen(args, exams, deadline)
        if "whole" in args.stages:
            run_whole(args, exams, deadline)
    write_report(args, exams)


if __name__ == "__main__":
    main()
