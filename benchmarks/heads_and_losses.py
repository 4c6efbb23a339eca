#!/usr/bin/env python3
"""Do co-attention heads or losses for MAP@3 help? Every head with every loss, against STEP2.

    python benchmarks/heads_and_losses.py --data DATA --encoder MINILM --causal STEP2_MODEL [--minutes 60]
    python benchmarks/heads_and_losses.py --data DATA --encoder MINILM --report

There are three stages. Finished trainings are stored in --work and reused, so a run can be stopped at any time.

- frozen: every head with every loss on token states of the encoder, which are computed once; 5 seeds;
- encoder: the whole encoder on 2,000 training questions, with the best three combinations and STEP2's; 3 seeds, or
  --seeds;
- causal: the same combinations on a small causal model that STEP2 trained from scratch, with packed rows, on ScienceQA.

The best three combinations have the highest MAP@3 on the tuning questions of the frozen stage, which are training
questions: no test question takes part in a choice. DATA has the folders kaggle and scienceqa. JSON, Markdown and plot
go to --work unless --out and --plot name files.

With a GPU, LoRA on a large model; flags after -- go to every training:

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
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import torch  # noqa: E402
from evidence import report, tables, whole  # noqa: E402
from evidence.cells import BASELINE, Cell, Result, claim, load, load_all, save  # noqa: E402
from evidence.command_line import add_training_flags, own_and_passed_on  # noqa: E402
from evidence.exams import EXAMS, TUNED_ON, Exam  # noqa: E402
from evidence.parallel import run_parallel  # noqa: E402
from provenance import write_result  # noqa: E402

from llmtuner.errors import UserError  # noqa: E402
from llmtuner.mcq.heads import HEADS  # noqa: E402
from llmtuner.mcq.objective import parse_loss  # noqa: E402
from llmtuner.spec.losses import LOSSES as DECLARED  # noqa: E402

MIXTURE = "cross_entropy:0.5+expected_map3:0.5"
LOSSES = (*DECLARED, MIXTURE)
FROZEN_SEEDS, WHOLE_SEEDS = range(5), 3
BEST = 3  # combinations that the frozen stage chooses
MODELS = ("encoder", "causal", "model_name_or_path")


def frozen_cells() -> Iterator[Cell]:
    """Seeds are the outer loop: a stopped comparison has every combination equally often."""
    for seed in FROZEN_SEEDS:
        for exam in EXAMS:
            for head in HEADS:
                for loss in LOSSES:
                    yield Cell("frozen", exam, head, loss, seed)


def whole_cells(chosen: list[tuple[str, str]], stages: dict[str, tuple[str, ...]], seeds: int) -> Iterator[Cell]:
    """STEP2's and the chosen combinations, for each stage with its exams."""
    chosen = [BASELINE, *(pair for pair in chosen if pair != BASELINE)]
    for seed in range(seeds):
        for stage, exams in stages.items():
            for exam in exams:
                for head, loss in chosen:
                    yield Cell(stage, exam, head, loss, seed)


def best(results: dict[Cell, Result]) -> list[tuple[str, str]]:
    """The combinations with the highest MAP@3 on the tuning questions, the mean over exams and seeds."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for cell, result in results.items():
        if "tuned_map@3" in result.more and (cell.head, cell.loss) != BASELINE:
            values[cell.head, cell.loss].append(result.more["tuned_map@3"])
    return sorted(values, key=lambda pair: -sum(values[pair]) / len(values[pair]))[:BEST]


def run_frozen(args: argparse.Namespace, exams: dict[str, Exam], deadline: float) -> None:
    """Cache the token states, then run the missing trainings."""
    from evidence.frozen import FrozenExam
    from evidence.states import cache_states
    from transformers import AutoModel, AutoTokenizer

    missing = [cell for cell in frozen_cells() if cell.exam in exams and not cell.path(args.work / "cells").is_file()]
    if not missing:
        return
    tokenizer = AutoTokenizer.from_pretrained(args.encoder)
    model = AutoModel.from_pretrained(args.encoder, use_safetensors=True).eval().to(args.device)
    frozen_exams: dict[str, Any] = {}
    for name, exam in exams.items():
        folder = args.work / "states" / name
        parts = [
            cache_states(model, tokenizer, questions, folder / part, args.cutoff_len)
            for part, questions in (("train", exam.train), ("test", exam.test))
        ]
        frozen_exams[name] = FrozenExam(exam, *parts, model.config.to_dict())
    del model
    for cell in [cell for cell in missing if _share(cell) % args.parts == args.part]:
        if time.monotonic() > deadline:
            return
        first = replace(cell, seed=FROZEN_SEEDS[0]).path(args.work / "cells")
        rate = load(first).more["learning_rate"] if cell.seed != FROZEN_SEEDS[0] else None
        save(frozen_exams[cell.exam].run(cell, rate), cell, args.work / "cells")
        print(f"{cell.stage} {cell.exam} {cell.name} seed {cell.seed}", flush=True)


def _share(cell: Cell) -> int:
    """Equal for all seeds of a combination: one process runs them, since the first seed chooses the learning rate."""
    return zlib.crc32(f"{cell.exam} {cell.name}".encode())


def run_whole(args: argparse.Namespace, exams: dict[str, Exam], deadline: float) -> None:
    """Run the missing trainings, `--parallel` processes at a time."""
    models = {"encoder": args.encoder, "causal": args.causal, "llm": args.model_name_or_path}
    stages = {"encoder": tuple(exams), "causal": ("scienceqa",) if "scienceqa" in exams else (), "llm": tuple(exams)}
    stages = {name: names for name, names in stages.items() if models[name] is not None}
    required = [cell for cell in frozen_cells() if cell.exam in exams]
    if not args.combinations and not all(cell.path(args.work / "cells").is_file() for cell in required):
        print("skipped: whole models; the frozen stage, which chooses combinations, is incomplete; pass --combinations")
        return
    chosen = [tuple(pair.split("/", 1)) for pair in args.combinations] or best(stored_results(exams, args.work))
    for exam in exams.values():
        whole.write_exam(exam, args.work)
    if args.causal is not None:
        models["causal"] = whole.without_head(args.causal, args.work)

    def run(cell: Cell) -> None:
        if cell.path(args.work / "cells").is_file():
            return
        result = whole.run(cell, exams[cell.exam], str(models[cell.stage]), args.work, args.threads, args.flags)
        save(result, cell, args.work / "cells")
        print(f"{cell.stage} {cell.exam} {cell.name} seed {cell.seed}: {result.seconds:.0f} s", flush=True)

    minutes = (deadline - time.monotonic()) / 60
    run_parallel(run, whole_cells(chosen, stages, args.seeds), args.parallel, minutes=minutes)


def stored_results(exams: dict[str, Exam], work: Path) -> dict[Cell, Result]:
    """The results of a work folder for these exams."""
    return {cell: result for cell, result in load_all(work / "cells").items() if cell.exam in exams}


def recipe() -> dict[str, Any]:
    """The settings that all trainings of one comparison must have in common."""
    from evidence import frozen

    names = ("BATCH", "POOL", "EPOCHS", "WEIGHT_DECAY", "WARMUP", "PASSAGE", "RATES", "MOST_RATES", "WIDTH")
    stages = {name: flags.split() for name, flags in whole.STAGES.items()}
    settings = {name: getattr(frozen, name) for name in names}
    settings |= {"TRAINED_ON": whole.TRAINED_ON, "HEAD_RATES": whole.HEAD_RATES, "STAGES": stages, "TUNED_ON": TUNED_ON}
    return json.loads(json.dumps(settings))


def _command(args: argparse.Namespace) -> str:
    """The command, without the folders of this machine."""
    words = ["python benchmarks/heads_and_losses.py --data DATA"]
    words += [f"--{name} {name.upper()}" for name in MODELS if getattr(args, name) is not None]
    words += [f"--combinations {' '.join(args.combinations)}"] if args.combinations else []
    words += [f"--seeds {args.seeds}"] if args.seeds != WHOLE_SEEDS else []
    words += [f"--exams {' '.join(args.exams)}"] if list(args.exams) != list(EXAMS) else []
    return " ".join([*words, *(["--", *args.flags] if args.flags else [])])


def write_report(args: argparse.Namespace, exams: dict[str, Exam]) -> None:
    """Write the results as JSON, Markdown and a plot.

    Raises:
        SystemExit: --work has no results; an empty report must not replace an earlier one.
    """
    results = stored_results(exams, args.work)
    if not results:
        raise SystemExit(f"error: --work {args.work}: no results in it; run without --report first")
    chosen = [" + ".join(pair) for pair in best(results)]
    stored = report.result_json(_command(args), results, exams, threads=args.threads, chosen=chosen)
    write_result(stored, args.out or args.work / "heads_and_losses.json")
    report.plot(stored["rows"], args.plot or args.work / "heads_and_losses.svg")
    text = tables.markdown(stored["rows"], stored["floors"])
    (args.work / "heads_and_losses.md").write_text(text + "\n")
    print(text)


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Reject arguments that would fail after hours, with status 2."""
    if not args.report and "frozen" in args.stages and args.encoder is None:
        parser.error("the frozen stage needs --encoder; or pass --stages whole with --combinations")
    for name in ("encoder", "causal"):
        folder = getattr(args, name)
        if folder is not None and not folder.is_dir():
            parser.error(f"--{name} {folder}: no such folder")
    for pair in args.combinations:
        head, _, loss = pair.partition("/")
        if head not in HEADS:
            parser.error(f"--combinations {pair}: expected HEAD/LOSS with HEAD one of {', '.join(HEADS)}")
        try:
            parse_loss(loss)
        except UserError as error:
            parser.error(f"--combinations {pair}: {error}")


def make_parser() -> argparse.ArgumentParser:
    """The flags of the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with kaggle/ and scienceqa/")
    parser.add_argument("--encoder", type=Path, help="folder of a bidirectional encoder")
    parser.add_argument("--causal", type=Path, help="folder of a causal model")
    parser.add_argument("--model_name_or_path", help="a large model, trained with LoRA")
    parser.add_argument("--combinations", nargs="+", default=[], help="HEAD/LOSS, instead of the best three")
    parser.add_argument("--seeds", type=int, default=WHOLE_SEEDS, help="seeds of whole models; the frozen stage has 5")
    parser.add_argument("--exams", nargs="+", choices=EXAMS, default=list(EXAMS))
    parser.add_argument("--stages", nargs="+", choices=("frozen", "whole"), default=("frozen", "whole"))
    parser.add_argument("--report", action="store_true", help="train nothing, report the stored results")
    add_training_flags(parser)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "heads_and_losses", help="folder of the trainings")
    parser.add_argument("--out", type=Path, help="the results as JSON; default: a file in --work")
    parser.add_argument("--plot", type=Path, help="the differences as SVG; default: a file in --work")
    parser.add_argument("--device", default="cpu", help="of the frozen stage; whole models use a GPU if present")
    parser.add_argument("--part", type=int, default=0, help="of --parts, the part of the frozen stage to run")
    parser.add_argument(
        "--parts", type=int, default=1, help="parts to divide the frozen stage into, one for each process"
    )
    parser.add_argument("--cutoff_len", type=int, default=256, help="tokens of a sequence, in the frozen stage")
    return parser


def main() -> None:
    """Run the stages, then report."""
    parser = make_parser()
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
        about |= {"flags": args.flags} if "whole" in args.stages else {}  # the frozen stage does not use them
        claim(args.work, {**about, "data": str(args.data), "cutoff_len": args.cutoff_len, "recipe": recipe()})
        if "frozen" in args.stages:
            run_frozen(args, exams, deadline)
        if "whole" in args.stages:
            run_whole(args, exams, deadline)
    write_report(args, exams)


if __name__ == "__main__":
    main()
