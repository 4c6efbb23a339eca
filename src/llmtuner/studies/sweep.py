"""Every combination of some flags' values, with several seeds, each in a folder of its own."""

from __future__ import annotations

import csv
import itertools
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtuner.cli.command import read_words, settle_words
from llmtuner.cli.words import Words
from llmtuner.errors import UserError
from llmtuner.spec.resume import is_secret
from llmtuner.studies.ended_run import RECORD, read_record, write_record
from llmtuner.studies.jobs import Job
from llmtuner.studies.training import check_runs, flags_of, job_of

MANIFEST = "sweep.json"
FORMAT = 1
OWN = ("output_dir", "seed", "overwrite_output_dir", "resume_from_checkpoint")  # flags that the sweep sets
_SAFE = "+:. "  # characters of a value that a folder's name keeps, besides letters, digits, "_", "-" and "~"


@dataclass(frozen=True)
class Sweep:
    """What a sweep runs.

    Args:
        out: its folder.
        words: the flags that all pieces share; the first word may be a config file.
        values: the values of each swept flag.
        seeds: of every combination.
    """

    out: Path
    words: Sequence[str]
    values: Mapping[str, Sequence[str]]
    seeds: Sequence[int]

    def pieces(self) -> Iterator[Piece]:
        """All pieces: every combination with the first seed, then with the next."""
        for seed in self.seeds:
            for chosen in itertools.product(*self.values.values()):
                yield Piece(self, dict(zip(self.values, chosen, strict=True)), seed)

    def read(self) -> tuple[Words, list[str]]:
        """The shared flags, settled, and lines about what was not taken literally.

        Raises:
            UserError: they cannot be read, or are the sweep's own.
        """
        given = read_words(list(self.words))
        lines = settle_words(given)
        _check_names(given, self.values)
        return given, lines

    def to_json(self) -> dict[str, Any]:
        """What the manifest stores."""
        values = {name: list(each) for name, each in self.values.items()}
        return {"format": FORMAT, "flags": flags_of(self.words), "set": values, "seeds": list(self.seeds)}


@dataclass(frozen=True)
class Piece:
    """One combination with one seed.

    Args:
        values: of the swept flags.
    """

    sweep: Sweep
    values: Mapping[str, str]
    seed: int

    @property
    def combination(self) -> str:
        """The name of the combination, as its folder has it; "" if no flag is swept."""
        return ",".join(f"{name}={urllib.parse.quote(value, safe=_SAFE)}" for name, value in self.values.items())

    @property
    def name(self) -> str:
        """For messages."""
        return "/".join(filter(None, (self.combination, f"seed-{self.seed}")))

    @property
    def folder(self) -> Path:
        """Its output folder."""
        return self.sweep.out / self.combination / f"seed-{self.seed}"

    def flags(self, given: Words) -> Words:
        """All flags of the piece: the shared ones, its own values, its seed and folder."""
        words = Words({name: given.values(name) for name in given})
        for name, value in self.values.items():
            words.set(name, value)
        words.set("seed", str(self.seed))
        words.set("output_dir", str(self.folder))
        return words

    def job(self, given: Words) -> Job:
        """Train what is not trained yet, then predict if the flags say so."""
        return job_of(self.name, self.flags(given), self.folder)

    def stored(self) -> dict[str, Any] | None:
        """What was written when it was done; None if it is not done.

        Raises:
            UserError: the file is damaged.
        """
        stored = read_record(self.folder)
        if stored is not None and not isinstance(stored.get("inputs"), dict):
            raise UserError(f"{self.folder / RECORD}: not the record of a piece; delete it, and the run starts again")
        return stored

    def finish(self, inputs: Mapping[str, Any], seconds: float) -> None:
        """Record that it is done, and with which inputs."""
        write_record(self.folder, seconds, inputs=dict(inputs))


def _check_names(given: Words, values: Mapping[str, Sequence[str]]) -> None:
    own = [name for name in OWN if name in given or name in values]
    if own:
        raise UserError(f"--{own[0]}: the sweep sets it for each piece; leave it out (folders: --out, seeds: --seeds)")
    secret = next(filter(is_secret, values), None)
    if secret is not None:
        raise UserError(f"--set {secret}=...: names of folders would show it; pass --{secret} behind --")
    check_runs(given)
    if given.is_true("do_predict") and "eval_dataset" not in given and "eval_dataset" not in values:
        raise UserError("--do_predict needs questions: name them with --eval_dataset")


def read_setting(text: str) -> tuple[str, list[str]]:
    """The name and the values of `FLAG=V,V,...`; a value with a comma is put into double quotes.

        >>> read_setting('lora_target=all,"q_proj,v_proj"')
        ('lora_target', ['all', 'q_proj,v_proj'])

    Raises:
        UserError: another form, or a value that is given twice.
    """
    name, equals, after = text.lstrip("-").partition("=")
    if not equals or not name:
        raise UserError(f"--set {text}: expected FLAG=VALUE,VALUE,...")
    try:
        values = next(csv.reader([after], strict=True), [])
    except csv.Error as error:
        raise UserError(f"--set {text}: {error}; put a whole value with commas into double quotes") from None
    if not values:
        raise UserError(
            f"--set {text}: has no value; expected FLAG=VALUE,VALUE,... (is a variable of the shell empty?)"
        )
    repeated = [value for i, value in enumerate(values) if value in values[:i]]
    if repeated:
        raise UserError(f"--set {text}: {repeated[0]!r} is given twice")
    return name.replace("-", "_"), values
