#!/usr/bin/env python3
"""Record the scores of many small trainings, and compare them with an earlier record: a refactoring changes none.

    python benchmarks/recorded_scores.py --project OTHER_CHECKOUT --compare benchmarks/results/recorded_scores.json
    python benchmarks/recorded_scores.py --demo --out benchmarks/results/recorded_scores.json

The recorded checkout is used through its command line only: train_bash.py, make_tiny_llama.py and, with --demo,
demo.py. The cases are a table (recorded/cases.py): one to four steps on a few questions, saved, loaded and scored, for
every head, layout, pooling, loss and model family, and for stage sft. This checkout makes models and questions, except
the tiny Llama, which the recorded one makes. All runs are on the CPU with one thread.

Each command is a fork of one process that has imported torch, through `llmtuner.cli.main.main`: five minutes in all on
an idle core, and the demo takes five more. --fresh starts train_bash.py anew for each. Both give the same bits.

A comparison ends with status 1 if it finds a difference: another bit in a score or figure of stage mcq, more than 1e-6
in one of stage sft, another ranking, or a missing case. Bits are the same only with the same processor and packages; a
comparison names those that differ.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from provenance import commit
from recorded.cases import CASES, LLAMA, Case
from recorded.compare import differences, other_machine
from recorded.models import write_questions

ROOT = Path(__file__).resolve().parents[1]
PARTS = Path(__file__).resolve().parent / "recorded"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
PACKAGES = ("torch", "transformers", "peft", "accelerate", "llamafactory")
SOURCES = ("src/**/*.py", "patches/**/*.py", "scripts/*", "data/*.json", "data/demo/*", "data/exam/*", "*.json")
TIMED = ("runtime", "_per_second", "time_left", "preparation_time")  # figures that no two runs have in common
DEMO, MAKER = "demo", "make_tiny_llama"
OTHER_SIZES = ("--hidden_size", "32", "--num_layers", "1", "--vocab_size", "600", "--seed", "3")


def digest(files: Iterable[Path], folder: Path) -> str:
    """A hash of the paths and contents of files."""
    whole = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        whole.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:16]


class Recording:
    """One checkout's cases in one folder; finished cases of the same sources are not run again."""

    def __init__(self, project: Path, work: Path, *, fresh: bool) -> None:
        self.project, self.work, self.fresh = project, work, fresh
        self.sources = digest((path for pattern in SOURCES for path in project.glob(pattern)), project)
        questions = [ROOT / "data" / "demo" / "questions.jsonl", ROOT / "data" / "exam" / "test.jsonl"]
        self.inputs = digest([PARTS / "models.py", *questions], ROOT)
        self.questions = questions
        # Caches of tokenised questions are in the work folder: those of another checkout must not be used.
        caches = {"HF_HOME": str(work / "hf"), "HF_DATASETS_CACHE": str(work / "hf" / "datasets")}
        self.environment = {**os.environ, **ENVIRONMENT, **caches}
        self.environment.pop("PYTHONPATH", None)

    def place(self, name: str) -> Path:
        """The folder of a case."""
        return self.work / "cases" / name

    def key(self, words: Any) -> str:
        """A hash of everything that a case's result depends on."""
        parts = [self.sources, self.inputs, words, *(["fresh"] if self.fresh else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def status(self, name: str, key: str) -> int | None:
        """The exit status of a case with this key, or None if it has not been run."""
        path = self.place(name) / "status.json"
        stored = json.loads(path.read_text()) if path.is_file() else {}
        return stored.get("status") if stored.get("key") == key else None

    def execute(self, name: str, words: list[str], key: str, **more: str) -> None:
        """Run a command as its own case, unless it has succeeded already."""
        if self.status(name, key) == 0:
            return
        folder = self.place(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        log = self.work / f"{name.replace('/', '-')}.log"
        with log.open("w") as file:
            environment = {**self.environment, **more}
            done = subprocess.run(
                words, check=False, stdout=file, stderr=subprocess.STDOUT, cwd=self.work, env=environment
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "status.json").write_text(json.dumps({"status": done.returncode, "key": key}))
        print(f"{name}: {'done' if done.returncode == 0 else f'failed, {log}'}", flush=True)

    def make_models(self) -> None:
        """Make the tiny Llama with the recorded checkout's script, and every other model with this one's.

        Raises:
            SystemExit: a model cannot be made, so no case can run.
        """
        script = str(self.project / "scripts" / "make_tiny_llama.py")
        text = ["--text", str(self.questions[0])]
        for name, sizes in (("small", OTHER_SIZES), ("default", ())):
            case = f"{MAKER}/{name}"
            folder = self.place(case) / "model"
            self.execute(case, [sys.executable, script, str(folder), *text, *sizes], self.key([case, *sizes]))
        models = self.work / "models"
        if (self.status(f"{MAKER}/default", self.key([f"{MAKER}/default"]))) != 0:
            raise SystemExit(f"error: the tiny Llama was not made; see {self.work / 'make_tiny_llama-default.log'}")
        shutil.rmtree(models / LLAMA, ignore_errors=True)
        shutil.copytree(self.place(f"{MAKER}/default") / "model", models / LLAMA)
        write_questions(self.work / "data", *self.questions)
        words = [sys.executable, PARTS / "models.py", models, models / LLAMA, self.questions[0]]
        self.execute("models", [str(word) for word in words], self.key("models"))
        if self.status("models", self.key("models")) != 0:
            raise SystemExit(f"error: the models were not made; see {self.work / 'models.log'}")

    def run(self, cases: list[Case]) -> None:
        """Run the cases that have no result of these sources yet."""
        jobs = []
        for case in cases:
            key = self.key(case.steps)
            if self.status(case.name, key) == 0:
                continue
            shutil.rmtree(self.place(case.name), ignore_errors=True)
            self.place(case.name).mkdir(parents=True)
            commands = list(case.steps.values())
            log, status = (str(self.place(case.name) / name) for name in ("log.txt", "status.json"))
            jobs.append({"name": case.name, "key": key, "commands": commands, "log": log, "status": status})
        if not jobs:
            return
        path = self.work / "jobs.json"
        path.write_text(json.dumps(jobs))
        words = [sys.executable, str(PARTS / "worker.py"), str(self.project), str(path)]
        words += ["--fresh"] if self.fresh else []
        subprocess.run(words, check=False, cwd=self.work, env=self.environment)

    def run_demo(self) -> None:
        """The checkout's demo, in its own folder."""
        words = [sys.executable, str(self.project / "scripts" / "demo.py")]
        folder = str(self.place(DEMO) / "out")
        self.execute(DEMO, words, self.key(DEMO), DEMO_DIR=folder)

    def results(self, cases: list[Case], *, demo: bool) -> dict[str, Any]:
        """The results of every case, by name."""
        actual: dict[str, Any] = {}
        for name in ("default", "small"):
            folder = self.place(f"{MAKER}/{name}") / "model"
            hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*"))}
            actual[f"{MAKER}/{name}"] = {"files": hashes} if hashes else {"failed": "wrote nothing"}
        for case in cases:
            status = self.status(case.name, self.key(case.steps))
            if status == 0:
                steps = {step: step_result(self.place(case.name) / step, words) for step, words in case.steps.items()}
                actual[case.name] = {"steps": steps}
            else:
                actual[case.name] = {"failed": "interrupted" if status is None else f"status {status}"}
        if demo:
            folders = sorted((self.place(DEMO) / "out").glob("*_predict"))
            steps = {path.name: step_result(path, stage="sft" if "step1" in path.name else "mcq") for path in folders}
            done = self.status(DEMO, self.key(DEMO)) == 0
            actual[DEMO] = {"steps": steps} if done else {"failed": "see demo.log"}
        return actual


def step_result(folder: Path, words: tuple[str, ...] = (), stage: str = "") -> dict[str, Any]:
    """The scores, rankings and figures in the output folder of a command, and the figures of each logged step."""
    actual: dict[str, Any] = {"stage": stage or words[words.index("--stage") + 1]}
    if words:
        actual["command"] = " ".join(words)
    predictions = folder / "predictions.jsonl"
    if predictions.is_file():
        lines = [json.loads(line) for line in predictions.open(encoding="utf-8")]
        actual["ids"] = [line["id"] for line in lines]
        actual["rankings"] = ["".join(line["ranking"]) for line in lines]
        actual["scores"] = [list(line["scores"].values()) for line in lines]
    results, state = folder / "all_results.json", folder / "trainer_state.json"
    if results.is_file():
        actual["figures"] = _untimed(json.loads(results.read_text()))
    if state.is_file():
        lines = json.loads(state.read_text())["log_history"]
        actual["history"] = [_untimed(line) for line in lines if "train_loss" not in line]  # which `figures` has
    return actual


def _untimed(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if not any(part in name for part in TIMED)}


def about(recording: Recording, args: argparse.Namespace) -> dict[str, Any]:
    """The command and sources of a record, and what its bits depend on."""
    words = ["python benchmarks/recorded_scores.py --project CHECKOUT"]
    words += [f"--{flag}" for flag in ("demo", "fresh") if getattr(args, flag)]
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "command": " ".join([*words, *(["--cases", args.cases] if args.cases != "*" else [])]),
        "commit": commit(recording.project),
        "sources": recording.sources,
        "cpu": processor(),
        "threads": 1,
        "python": platform.python_version(),
        **versions,
    }


def processor() -> str:
    """Name, family and model of the processor, if the system tells them: they decide which kernels are used."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    pairs = [line.partition(":")[::2] for line in info.read_text().splitlines()]
    values = {name.strip(): value.strip() for name, value in reversed(pairs)}  # of the first processor
    named = [f"{name} {values[name]}" for name in ("cpu family", "model") if name in values]
    return ", ".join([values.get("model name", platform.machine()), *named])


def write(record: dict[str, Any], path: Path) -> None:
    """Write one line per case, so that a diff shows which cases changed."""
    cases = ",\n".join(f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in record["cases"].items())
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(f'{{\n "about": {json.dumps(record["about"])},\n "cases": {{\n{cases}\n }}\n}}\n')
    os.replace(beside, path)


def report(earlier: dict[str, Any], later: dict[str, Any]) -> int:
    """Print the differences; return 1 if there are any."""
    actual = differences(earlier, later)
    for line in other_machine(earlier, later):
        print(f"note: bits may differ with {line}")
    print("\n".join(actual) if actual else f"no difference in {len(earlier['cases'])} cases")
    return 1 if actual else 0


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """The given folder, or a temporary one, which stays if a case fails."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="recorded_scores-"))
    yield made
    shutil.rmtree(made)


def main() -> int:
    """Record, write, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=ROOT, help="checkout to record; default: this one")
    parser.add_argument("--out", type=Path, help="where to write the record, a JSON file")
    parser.add_argument("--compare", type=Path, help="an earlier record to compare with")
    parser.add_argument("--work", type=Path, help="folder of the runs; finished ones are reused")
    parser.add_argument("--cases", default="*", help="run only cases whose names match; * and ? are wildcards")
    parser.add_argument("--demo", action="store_true", help="also run scripts/demo.py, which takes minutes")
    parser.add_argument("--fresh", action="store_true", help="start a new process for each command")
    args = parser.parse_args()
    project = args.project.resolve()
    if not (project / "src" / "train_bash.py").is_file():
        parser.error(f"--project {args.project}: no src/train_bash.py in it")
    earlier = json.loads(args.compare.read_text()) if args.compare else None
    cases = [case for case in CASES if fnmatch.fnmatch(case.name, args.cases)]
    with work_folder(args.work) as work:
        recording = Recording(project, work, fresh=args.fresh)
        recording.make_models()
        recording.run(cases)
        if args.demo:
            recording.run_demo()
        record = {"about": about(recording, args), "cases": recording.results(cases, demo=args.demo)}
        if args.out:
            write(record, args.out)
        failed = [f"{name}: {case['failed']}" for name, case in record["cases"].items() if "failed" in case]
        differs = report(_of_these(earlier, args), record) if earlier else 0
        if failed:
            raise SystemExit("\n".join([*failed, f"error: {len(failed)} cases failed; their logs are in {work}"]))
    return differs


def _of_these(earlier: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The cases of an earlier record that this run repeats."""
    cases = {
        name: case
        for name, case in earlier["cases"].items()
        if name.startswith(MAKER) or (args.demo if name == DEMO else fnmatch.fnmatch(name, args.cases))
    }
    return {**earlier, "cases": cases}


if __name__ == "__main__":
    sys.exit(main())
