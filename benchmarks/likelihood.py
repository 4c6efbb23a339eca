#!/usr/bin/env python3
"""Which norm of the likelihood head ranks best without training?

    python benchmarks/likelihood.py --model SMOLLM2 --data DATA [--work DIR] [--out FILE]

One prediction with the norm `pmi` for each set gives all norms: predictions.jsonl also has the sums and the numbers of
tokens, and the file of questions has the texts. Sets: the elementary exam's test questions without and with their facts
(4 options), the first 400 of ARC-Easy (4 options), the first 300 of QASC's validation questions without and with their
facts (8 options). The report gives MAP@3 and accuracy of each norm, and the differences from the default norm with 95 %
intervals over questions. Predictions that are in --work are reused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from evidence.norms import Scores, scores_by_norm  # noqa: E402
from provenance import commit, hardware, trial_file, write_result  # noqa: E402

from llmtuner.cli.main import main as train_bash  # noqa: E402
from llmtuner.data.load import read_questions  # noqa: E402
from llmtuner.data.predictions import Prediction, read_predictions  # noqa: E402
from llmtuner.data.question import Question  # noqa: E402
from llmtuner.metrics import accuracy, baselines, map_at_k, paired_interval  # noqa: E402
from llmtuner.spec.norms import DEFAULT_NORM, NORMS  # noqa: E402

FLAGS = """--stage mcq --mcq_head likelihood --mcq_likelihood_norm pmi --template smollm2 --do_predict
    --infer_dtype float32 --mcq_tokens_per_batch 4096 --disable_tqdm true"""
METRICS = {"map@3": map_at_k, "accuracy": accuracy}


@dataclass(frozen=True)
class Exam:
    """The first `rows` questions of a file, with their contexts or without."""

    file: Path
    rows: int
    open_book: bool

    def write(self, path: Path) -> None:
        """Write the questions as a file of their own."""
        lines = self.file.read_text(encoding="utf-8").splitlines()[: self.rows]
        rows = [json.loads(line) for line in lines]
        if not self.open_book:
            rows = [{name: value for name, value in row.items() if name != "context"} for row in rows]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def exams(data: Path) -> dict[str, Exam]:
    """The sets by name."""
    elementary, qasc = ROOT / "data" / "elementary" / "test.jsonl", data / "qasc" / "dev.jsonl"
    return {
        "elementary": Exam(elementary, 160, False),
        "elementary, facts": Exam(elementary, 160, True),
        "ARC-Easy": Exam(data / "arc" / "arc_easy.jsonl", 400, False),
        "QASC": Exam(qasc, 300, False),
        "QASC, facts": Exam(qasc, 300, True),
    }


def predicted(model: Path, name: str, exam: Exam, work: Path) -> tuple[list[Question], list[Prediction]]:
    """The questions of a set and their predictions with the norm pmi."""
    folder = work / name.replace(", ", "_")
    file, out = folder / "questions.jsonl", folder / "predicted"
    if not (out / "predict_results.json").is_file():
        exam.write(file)
        where = ["--model_name_or_path", str(model), "--eval_dataset", str(file), "--output_dir", str(out)]
        if train_bash([*FLAGS.split(), *where]) != 0:
            raise SystemExit(f"{name}: the prediction failed")
    return read_questions(file, purpose="predict").questions, read_predictions(out / "predictions.jsonl")


def compare(scores: dict[str, Scores], answers: Sequence[int], groups_Q: Sequence[str] | None = None) -> dict[str, Any]:
    """MAP@3 and accuracy of each norm, with the difference from the default norm and its interval.

    Args:
        groups_Q: questions of the same group are drawn together: the same ones with their facts and without.
    """
    each = {
        norm: {
            metric: [value([row], [answer]) for row, answer in zip(rows, answers, strict=True)]
            for metric, value in METRICS.items()
        }
        for norm, rows in scores.items()
    }
    report: dict[str, Any] = {}
    for norm, of_metric in each.items():
        report[norm] = {metric: round(sum(values) / len(values), 4) for metric, values in of_metric.items()}
        for metric, values in of_metric.items() if norm != DEFAULT_NORM else ():
            differences = [a - b for a, b in zip(values, each[DEFAULT_NORM][metric], strict=True)]
            report[norm][f"{metric}_minus_{DEFAULT_NORM}"] = {
                "difference": round(sum(differences) / len(differences), 4),
                "interval": [round(bound, 4) for bound in paired_interval(differences, groups_Q)],
            }
    return report


def main() -> None:
    """Predict, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a SmolLM2; scripts/smollm2.py prints its folder")
    parser.add_argument("--data", type=Path, required=True, help="folder with arc/ and qasc/")
    parser.add_argument("--sets", nargs="+", help="only these sets, by their names in the report")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "likelihood", help="folder of the predictions")
    parser.add_argument("--out", type=Path, default=trial_file("likelihood"), help="the results as JSON")
    args = parser.parse_args()
    measured = commit()
    sets: dict[str, Any] = {}
    every: dict[str, list[Sequence[float]]] = {norm: [] for norm in NORMS}
    all_answers: list[int] = []
    texts: list[str] = []
    known = exams(args.data)
    for name in args.sets or known:
        exam = known[name]
        questions, predictions = predicted(args.model, name, exam, args.work)
        scores = scores_by_norm(questions, predictions)
        answers = [question.answer for question in questions]
        floors = baselines([[len(text) for text in q.options] for q in questions], answers)
        sets[name] = {"questions": len(questions), "options": len(questions[0].options), **compare(scores, answers)}
        sets[name] |= {key: round(value, 4) for key, value in floors.items()}
        all_answers += answers
        texts += [question.question for question in questions]
        for norm, rows in scores.items():
            every[norm] += rows
    sets["all"] = {"questions": len(all_answers), **compare(every, all_answers, texts)}
    chosen = "".join([" --sets", *(f' "{name}"' for name in args.sets)]) if args.sets else ""
    result = {
        "command": f"python benchmarks/likelihood.py --model SMOLLM2 --data DATA{chosen}",
        "commit": measured,
        "hardware": hardware("cpu"),
        "flags": FLAGS.split(),
        "default": DEFAULT_NORM,
        "sets": sets,
    }
    write_result(result, args.out)
    for name, of_set in sets.items():
        print(name, *(f"{norm} {of_set[norm]['map@3']:.3f}/{of_set[norm]['accuracy']:.3f}" for norm in NORMS), sep="  ")


if __name__ == "__main__":
    main()
