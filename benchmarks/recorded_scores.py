#!/usr/bin/env python3
"""Does a refactoring change a score? Record the scores of many small trainings, and compare two records.

    python benchmarks/recorded_scores.py --compare benchmarks/results/recorded_scores.json
    python benchmarks/recorded_scores.py --project CHECKOUT --demo --out FILE

The recorded checkout is used through its command line only: train_bash.py, make_tiny_llama.py and, with --demo,
demo.sh. The cases are a table (recorded/cases.py): one to four steps on a few questions, saved, loaded and scored, for
every head, layout, pooling, loss and model family, and for stage sft. Models and questions come from this checkout,
except the tiny Llama, which the recorded checkout makes. All runs use the CPU and one thread.

One process runs all commands through `llmtuner.cli.main.main`, so that torch is imported once; --fresh starts
train_bash.py for each command. Both give the same bits.

A comparison ends with status 1 if a score or figure of stage mcq differs in any bit, one of stage sft by more than
1e-6, a ranking differs, or a case is missing. Bits are reproducible only with the same processor and packages; the
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

from provenance import commit, hardware
from recorded.cases import CASES, LLAMA, WORK, Case
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
TIMED = ("runtime", "_per_second", "time_left", "_memory")  # figures that differ from run to run
DEMO, MAKER = "demo", "make_tiny_llama"
OTHER_SIZES = ("--hidden_size", "32", "--num_layers", "1", "--vocab_size", "600", "--seed", "3")


def digest(files: Iterable[Path], folder: Path) -> str:
    """A hash of the paths and contents of files."""
    combined = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        combined.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return combined.hexdigest()[:16]


class Recording:
    """The cases of one checkout in one folder; finished cases with the same sources are not run again."""

    def __init__(self, project: Path, work: Path, *, fresh: bool) -> None:
        self.project, self.work, self.fresh = project, work, fresh
        self.sources = digest((path for pattern in SOURCES for path in project.glob(pattern)), project)
        questions = [ROOT / "data" / "demo" / "questions.jsonl", ROOT / "data" / "exam" / "test.jsonl"]
        self.inputs = digest([PARTS / "models.py", *questions], ROOT)
        self.questions = questions
        # Caches of tokenised questions go to the work folder: those of another checkout must not be used.
        caches = {"HF_HOME": str(work / "hf"), "HF_DATASETS_CACHE": str(work / "hf" / "datasets")}
        self.environment = {**os.environ, **ENVIRONMENT, **caches}
        self.environment.pop("PYTHONPATH", None)

    def folder(self, name: str) -> Path:
        """The folder of a case."""
        return self.work / "cases" / name

    def key(self, words: Any) -> str:
        """A hash of all that the result of a case depends on."""
        return hashlib.sha256(json.dumps([self.sources, self.inputs, words]).encode()).hexdigest()[:16]

    def status(self, name: str, key: str) -> int | None:
        """The exit status of a case with this key; None if it has to be run."""
        path = self.folder(name) / "status.json"
        stored = json.loads(path.read_text()) if path.is_file() else {}
        return stored.get("status") if stored.get("key") == key else None

    def execute(self, name: str, words: list[str], key: str, **more: str) -> None:
        """Run a command as a case of its own, unless it is done already."""
        if self.status(name, key) == 0:
            return
        folder = self.folder(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        log = self.work / f"{name.replace('/', '-')}.log"
        with log.open("w") as file:
            environment = {**self.environment, **more}
            process = subprocess.run(
                words, check=False, stdout=file, stderr=subprocess.STDOUT, cwd=self.work, env=environment
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "status.json").write_text(json.dumps({"status": process.returncode, "key": key}))
        print(f"{name}: {'done' if process.returncode == 0 else f'failed, {log}'}", flush=True)

    def make_models(self) -> None:
        """Make the tiny Llama with the script of the recorded checkout, and all other models with this checkout's.

        Raises:
            SystemExit: a model cannot be made, so no case can run.
        """
        script = str(self.project / "scripts" / "make_tiny_llama.py")
        text = ["--text", str(self.questions[0])]
        for name, sizes in (("small", OTHER_SIZES), ("default", ())):
            case = f"{MAKER}/{name}"
            folder = self.folder(case) / "model"
            self.execute(case, [sys.executable, script, str(folder), *text, *sizes], self.key([case, *sizes]))
        models = self.work / "models"
        if (self.status(f"{MAKER}/default", self.key([f"{MAKER}/default"]))) != 0:
            raise SystemExit(f"error: no tiny Llama: {self.work / 'make_tiny_llama-default.log'}")
        shutil.rmtree(models / LLAMA, ignore_errors=True)
        shutil.copytree(self.folder(f"{MAKER}/default") / "model", models / LLAMA)
        write_questions(self.work / "data", *self.questions)
        words = [sys.executable, PARTS / "models.py", models, models / LLAMA, self.questions[0]]
        self.execute("models", [str(word) for word in words], self.key("models"))
        if self.status("models", self.key("models")) != 0:
            raise SystemExit(f"error: no models: {self.work / 'models.log'}")

    def run(self, cases: list[Case]) -> None:
        """Run the cases that have no result of these sources."""
        jobs = []
        for case in cases:
            key = self.key(case.steps)
            if self.status(case.name, key) == 0:
                continue
            shutil.rmtree(self.folder(case.name), ignore_errors=True)
            self.folder(case.name).mkdir(parents=True)
            commands = [[word.replace(WORK, str(self.work)) for word in words] for words in case.steps.values()]
            log, status = (str(self.folder(case.name) / name) for name in ("log.txt", "status.json"))
            jobs.append({"name": case.name, "key": key, "commands": commands, "log": log, "status": status})
        if not jobs:
            return
        path = self.work / "jobs.json"
        path.write_text(json.dumps(jobs))
        words = [sys.executable, str(PARTS / "worker.py"), str(self.project), str(path)]
        words += ["--fresh"] if self.fresh else []
        subprocess.run(words, check=False, cwd=self.work, env=self.environment)

    def run_demo(self) -> None:
        """Run the demo of the checkout, in a folder of its own."""
        words = ["bash", str(self.project / "scripts" / "demo.sh")]
        folder = str(self.folder(DEMO) / "out")
        self.execute(DEMO, words, self.key(DEMO), DEMO_DIR=folder, PYTHON=sys.executable)

    def results(self, cases: list[Case], *, demo: bool) -> dict[str, Any]:
        """The result of every case, by name."""
        results: dict[str, Any] = {}
        for name in ("default", "small"):
            folder = self.folder(f"{MAKER}/{name}") / "model"
            hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*"))}
            results[f"{MAKER}/{name}"] = {"files": hashes} if hashes else {"failed": "wrote nothing"}
        for case in cases:
            status = self.status(case.name, self.key(case.steps))
            if status == 0:
                steps = {step: step_result(self.folder(case.name) / step, words) for step, words in case.steps.items()}
                results[case.name] = {"steps": steps}
            else:
                results[case.name] = {"failed": "interrupted" if status is None else f"status {status}"}
        if demo:
            folders = sorted((self.folder(DEMO) / "out").glob("*_predict"))
            steps = {path.name: step_result(path, stage="sft" if "sft" in path.name else "mcq") for path in folders}
            done = self.status(DEMO, self.key(DEMO)) == 0
            results[DEMO] = {"steps": steps} if done else {"failed": "see demo.log"}
        return results


def step_result(folder: Path, words: tuple[str, ...] = (), stage: str = "") -> dict[str, Any]:
    """The files of an output folder: scores and rankings, figures, and the figures of each logged step."""
    result: dict[str, Any] = {"stage": stage or words[words.index("--stage") + 1]}
    if words:
        result["command"] = " ".join(words)
    predictions = folder / "predictions.jsonl"
    if predictions.is_file():
        lines = [json.loads(line) for line in predictions.open(encoding="utf-8")]
        result["ids"] = [line["id"] for line in lines]
        result["rankings"] = ["".join(line["ranking"]) for line in lines]
        result["scores"] = [list(line["scores"].values()) for line in lines]
    result["figures"] = _untimed(json.loads((folder / "all_results.json").read_text()))
    state = folder / "trainer_state.json"
    if state.is_file():
        lines = json.loads(state.read_text())["log_history"]
        result["history"] = [_untimed(line) for line in lines if "train_loss" not in line]  # `figures` has that line
    return result


def _untimed(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if not any(part in name for part in TIMED)}


def about(project: Path, sources: str) -> dict[str, Any]:
    """The recorded commit, and all that its bits depend on."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "command": "python benchmarks/recorded_scores.py --project CHECKOUT --demo",
        "commit": commit(project),
        "sources": sources,
        "cpu": processor(),
        "hardware": hardware("cpu"),
        "threads": 1,
        "python": platform.python_version(),
        **versions,
    }


def processor() -> str:
    """Name, family and model of the processor, if the system tells them: libraries choose kernels by them."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    pairs = [line.partition(":")[::2] for line in info.read_text().splitlines()]
    values = {name.strip(): value.strip() for name, value in reversed(pairs)}  # of the first processor
    named = [f"{name} {values[name]}" for name in ("cpu family", "model") if name in values]
    return ", ".join([values.get("model name", platform.machine()), *named])


def write(record: dict[str, Any], path: Path) -> None:
    """Write a line for each case, so that a diff of two records shows the changed cases."""
    cases = ",\n".join(f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in record["cases"].items())
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(f'{{\n "about": {json.dumps(record["about"])},\n "cases": {{\n{cases}\n }}\n}}\n')
    os.replace(beside, path)


def report(earlier: dict[str, Any], later: dict[str, Any]) -> int:
    """Print all differences; return 1 if there are any, otherwise 0."""
    lines = differences(earlier, later)
    for line in other_machine(earlier, later):
        print(f"note: bits may differ with {line}")
    print("\n".join(lines) if lines else f"no difference in {len(earlier['cases'])} cases")
    return 1 if lines else 0


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """The given folder, or a temporary one, which is deleted unless a case fails."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    temporary = Path(tempfile.mkdtemp(prefix="recorded_scores-"))
    yield temporary
    shutil.rmtree(temporary)


def main() -> int:
    """Record, write, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=ROOT, help="the recorded checkout; default: this one")
    parser.add_argument("--out", type=Path, help="write the record as JSON")
    parser.add_argument("--compare", type=Path, help="an earlier record to compare with")
    parser.add_argument("--work", type=Path, help="folder of the runs; finished ones are reused")
    parser.add_argument("--cases", default="*", help="names of cases to run, with * and ?")
    parser.add_argument("--demo", action="store_true", help="also run scripts/demo.sh, which takes minutes")
    parser.add_argument("--fresh", action="store_true", help="a new process for each command")
    args = parser.parse_args()
    project = args.project.resolve()
    if not (project / "src" / "train_bash.py").is_file():
        parser.error(f"--project {args.project}: no src/train_bash.py in it; pass a checkout of this project")
    earlier = json.loads(args.compare.read_text()) if args.compare else None
    cases = [case for case in CASES if fnmatch.fnmatch(case.name, args.cases)]
    with work_folder(args.work) as work:
        recording = Recording(project, work, fresh=args.fresh)
        recording.make_models()
        recording.run(cases)
        if args.demo:
            recording.run_demo()
        record = {"about": about(project, recording.sources), "cases": recording.results(cases, demo=args.demo)}
        failed = [f"{name}: {case['failed']}" for name, case in record["cases"].items() if "failed" in case]
        if args.out:
            write(record, args.out)
        if failed:
            print("\n".join(failed))
            print(f"{len(failed)} of {len(record['cases'])} cases failed; their logs are in {work / 'cases'}")
            sys.exit(1)
    return 0 if earlier is None else report(_of_these(earlier, args), record)


def _of_these(earlier: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The cases of an earlier record that this run repeats."""
    repeated = {
        name: case
        for name, case in earlier["cases"].items()
        if name.startswith(MAKER) or (args.demo if name == DEMO else fnmatch.fnmatch(name, args.cases))
    }
    return {**earlier, "cases": repeated}


if __name__ == "__main__":
    sys.exit(main())
