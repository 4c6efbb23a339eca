"""Tries every row of tests/mutations.py: makes the edit in a copy of the project and runs the tests beside it.

    python tests/mutate.py                  all of them
    python tests/mutate.py --only NAME ...  some
    python tests/mutate.py --list           their names

Exit status: 0 where every edit was noticed, 1 where one survived, 2 where a row cannot be tried.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mutations import MUTATIONS, ROOT, Mutation

LIMIT = 600  # seconds for the tests of one row: an edit may cause an endless loop
FAILED, NO_FAILURE = 1, 0  # pytest's exit statuses; any other means that the tests could not be run


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one row: "killed", "survived", or why it could not be tried."""

    name: str
    status: str
    seconds: float = 0.0
    output: str = ""

    @property
    def tried(self) -> bool:
        """Whether the tests ran to completion."""
        return self.status in ("killed", "survived")


def copy_project(target: Path) -> None:
    """Copy the project without ignored files; the virtual environment is linked."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to((ROOT / ".venv").resolve())


def run_tests(tests: Sequence[str], folder: Path) -> tuple[int | None, str]:
    """Run pytest in a copy of the project; return its exit status (None if it took too long) and its output."""
    environment = {name: value for name, value in os.environ.items() if name != "LLMSCIENCE_REAL_DATA"}
    # The installed package points to the project itself; the copy must come first, also for subprocesses of the tests.
    environment |= {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout + done.stderr


def attempt(mutation: Mutation) -> Outcome:
    """Make the edit in a copy and run its tests."""
    if defects := mutation.defects():
        return Outcome(mutation.name, f"stale: {'; '.join(defects)}")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy_project(Path(folder))
        path = Path(folder, mutation.file)
        path.write_text(path.read_text(encoding="utf-8").replace(mutation.old, mutation.new), encoding="utf-8")
        status, output = run_tests(mutation.tests, Path(folder))
    names = {FAILED: "killed", None: "killed", NO_FAILURE: "survived"}
    return Outcome(
        mutation.name, names.get(status, f"broken: pytest ended with {status}"), time.monotonic() - begin, output
    )


def untouched(mutations: Sequence[Mutation]) -> Outcome:
    """Run the same tests without any edit: if they fail anyway, they do not show that an edit is noticed."""
    tests = dict.fromkeys(test for mutation in mutations for test in mutation.tests)
    whole_files = {test for test in tests if "::" not in test}
    wanted = [test for test in tests if test in whole_files or test.partition("::")[0] not in whole_files]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy_project(Path(folder))
        status, output = run_tests(wanted, Path(folder))
    outcome = "survived" if status == NO_FAILURE else "broken: the tests fail without any edit"
    return Outcome("(no edit)", outcome, time.monotonic() - begin, output)


def main(argv: Sequence[str] | None = None) -> int:
    """Try the rows and print the outcome of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="try these alone")
    parser.add_argument("--list", action="store_true", help="print the names and files of all rows")
    parser.add_argument("--jobs", type=int, default=2, help="rows that are tried at once (2)")
    given = parser.parse_args(argv)
    unknown = set(given.only or ()) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; --list names them")
    chosen = [mutation for mutation in MUTATIONS if not given.only or mutation.name in given.only]
    width = max(len(mutation.name) for mutation in chosen)
    if given.list:
        for mutation in chosen:
            print(f"{mutation.name:<{width}}  {mutation.file}")
        return 0
    outcomes = []
    with ThreadPoolExecutor(max(1, given.jobs)) as pool:
        fresh = [mutation for mutation in chosen if not mutation.defects()]
        first = pool.submit(untouched, fresh) if fresh else None
        for outcome in pool.map(attempt, chosen):
            outcomes.append(outcome)
            print(f"{outcome.name:<{width}}  {outcome.seconds:5.0f} s  {outcome.status}", flush=True)
        outcomes += [first.result()] if first else []
    return _verdict(outcomes)


def _verdict(outcomes: Sequence[Outcome]) -> int:
    untried = [outcome for outcome in outcomes if not outcome.tried]
    survivors = [outcome for outcome in outcomes if outcome.status == "survived" and outcome.name != "(no edit)"]
    for outcome in untried:
        print(f"\n{outcome.name}: {outcome.status}\n{outcome.output[-3000:]}")
    killed = sum(outcome.status == "killed" for outcome in outcomes)
    print(f"\n{killed} killed, {len(survivors)} survived, {len(untried)} could not be tried")
    for outcome in survivors:
        print(f"survived: {outcome.name}")
    return 2 if untried else 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
