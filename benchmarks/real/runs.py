"""What is run: for each question of the comparison, its ways, the sets, and the flags of each run.

A run is a sweep of one command in WORK/runs/ROW/SET/WAY; a training on top of another one, or a prediction with another
command than its training, has a folder for each seed. Runs of a later wave start from those of an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmtuner.studies.ended_run import RECORD
from llmtuner.studies.sweep import Piece, Sweep


@dataclass(frozen=True)
class Setting:
    """What all runs share.

    Args:
        model: folder of the language model.
        encoder: folder of MiniLM.
        precision: flags of the language model, such as --bf16.
        work: folder of all files.
        batch: questions in a forward pass of a training; a step has 8 questions.
    """

    model: str
    template: str
    encoder: str
    work: Path
    precision: Sequence[str] = ()
    batch: int = 4

    def file(self, name: str, part: str) -> str:
        """A file of questions."""
        return str(self.work / "data" / name / f"{part}.jsonl")

    @property
    def language_model(self) -> list[str]:
        """The flags of every run of the language model."""
        return ["--model_name_or_path", self.model, "--template", self.template, *self.precision, *_flags(_COMMON)]

    def training(self, rate: float) -> list[str]:
        """The flags of every LoRA training."""
        own = ["--learning_rate", f"{rate:g}", "--per_device_train_batch_size", str(self.batch)]
        own += ["--gradient_accumulation_steps", str(STEP // self.batch)]
        return [*self.language_model, *_flags(_LORA), *own]


_COMMON = "--cutoff_len 1024 --per_device_eval_batch_size 16 --disable_tqdm true"
# --flash_attn disabled: on a CPU, torch's fused attention takes longer for rows as short as these.
_LORA = """--do_train --num_train_epochs 1 --lr_scheduler_type cosine --warmup_ratio 0.05 --logging_steps 10
    --save_strategy no --disable_gradient_checkpointing true --flash_attn disabled"""
_ENCODER = """--finetuning_type full --do_train --num_train_epochs 3 --learning_rate 5e-5
    --lr_scheduler_type cosine --warmup_ratio 0.05 --per_device_train_batch_size 16 --per_device_eval_batch_size 32
    --cutoff_len 384 --logging_steps 10 --save_strategy no --disable_tqdm true"""
STEP = 8  # questions
Home = tuple[str, str]  # row and way whose folder holds a run
MADE_BY = "made_by.json"  # commit and hardware, beside the folder of a run
MIXED_LOSS = "cross_entropy:0.5+expected_map3:0.5"


@dataclass(frozen=True)
class Way:
    """A way to train and to score.

    Args:
        title: for tables.
        flags: of the head and loss; the learning rate is `rate`.
        rate: of the weights, chosen by the row `rates`.
        above: the way whose adapter the training starts from.
        letters: trained by stage sft, and scored by the letters' probabilities.
    """

    title: str
    flags: str = ""
    rate: float = 3e-4
    above: str = ""
    letters: bool = False


# Learning rates: see the row `rates` of docs/results/real_model.md.
HEAD_RATE, CO_ATTENTION_RATE = 1e-3, 3e-4
WAYS = {
    "step1": Way("STEP1, letters", letters=True),
    "likelihood": Way("likelihood, trained", "--mcq_head likelihood", rate=1e-3),
    "step2": Way("STEP2, linear", f"--mcq_head linear --head_learning_rate {HEAD_RATE:g}"),
    "step2_on_step1": Way(
        "STEP2 on top of STEP1", f"--mcq_head linear --head_learning_rate {HEAD_RATE:g}", above="step1"
    ),
    "duma": Way("STEP3, DUMA", f"--mcq_head duma --head_learning_rate {CO_ATTENTION_RATE:g}"),
    "cduma": Way("STEP3, CDUMA", f"--mcq_head cduma --head_learning_rate {CO_ATTENTION_RATE:g}"),
    "mixed_loss": Way(
        "STEP3, expected MAP@3 as half of the loss",
        f"--mcq_head linear --head_learning_rate {HEAD_RATE:g} --mcq_loss {MIXED_LOSS} --mcq_loss_warmup_ratio 0.3",
    ),
}


@dataclass(frozen=True)
class Run:
    """One sweep.

    Args:
        row, set, way: names of its folder and of its place in the report.
        sweep: its seeds are those of the report unless `seed` is given.
        seed: of a sweep that has a folder for each seed.
        needs: the output folder of the training that it starts from.
        reported: whether its figures belong in the report.
        file: the only file whose scores belong in this row, such as qasc/test; "" for all.
        script: a script that writes the predictions in place of the sweep's command, and its words.
    """

    row: str
    set: str
    way: str
    sweep: Sweep
    seed: int
    needs: Path | None = None
    reported: bool = True
    file: str = ""
    script: Sequence[str] = ()

    @property
    def piece(self) -> Piece:
        """Its only piece."""
        return next(self.sweep.pieces())

    @property
    def wave(self) -> int:
        """Runs of wave 1 start when those of wave 0 are done."""
        return 0 if self.needs is None else 1

    def can_start(self) -> bool:
        """Whether the training that it starts from is done."""
        return self.needs is None or (self.needs / RECORD).is_file()


@dataclass
class Builder:
    """Builds the runs of one seed."""

    setting: Setting
    seed: int
    runs: list[Run] = field(default_factory=list)

    def folder(self, row: str, set_: str, way: str) -> Path:
        return self.setting.work / "runs" / row / set_ / way

    def trained(self, row: str, set_: str, way: str) -> Path:
        """The output folder of a training."""
        return Piece(Sweep(self.folder(row, set_, way), (), {}, (self.seed,)), {}, self.seed).folder

    def add(
        self,
        row: str,
        set_: str,
        way: str,
        words: Sequence[str],
        *,
        needs: Path | None = None,
        reported: bool = True,
        home: Home | None = None,
        file: str = "",
    ) -> None:
        """Add a sweep of this seed.

        Args:
            needs: the words name this folder, and so the seed; then the sweep's folder has to name it, too.
            home: the row and way whose folder holds the run, if two rows need the same one.
            file: see `Run`.
        """
        row_of, way_of = home or (row, way)
        folder = self.folder(row_of, set_, way_of if needs is None else f"{way_of}-{self.seed}")
        sweep = Sweep(folder, words, {}, (self.seed,))
        self.runs.append(Run(row, set_, way, sweep, self.seed, needs, reported, file))

    def learns(
        self,
        row: str,
        set_: str,
        name: str,
        train: Sequence[str],
        test: Sequence[str],
        *,
        way: Way | None = None,
        more: str = "",
        checkpoints: Sequence[int] = (),
        home: Home | None = None,
        file: str = "",
    ) -> None:
        """Train in a way, and score.

        Args:
            name: of the folder; by default the way of that name.
            train, test: files.
            more: flags of the training.
            checkpoints: steps of a training of letters whose checkpoints are scored, too.
            home, file: see `add`.
        """
        way, setting = way or WAYS[name], self.setting
        scored = ["--do_predict", "--eval_dataset", ",".join(test)]
        words = [*setting.training(way.rate), *_flags(more), "--dataset", ",".join(train)]
        if way.letters:
            self.add(row, set_, f"{name}_train", ["--stage", "sft", *words], reported=False)
            folder = self.trained(row, set_, f"{name}_train")
            letters = ["--stage", "mcq", "--mcq_head", "letter", *setting.language_model]
            self.add(row, set_, name, [*letters, "--adapter_name_or_path", str(folder), *scored], needs=folder)
            for step in checkpoints:
                place = folder / f"checkpoint-{step}"
                scoring = [*letters, "--adapter_name_or_path", str(place), *scored]
                self.add(row, set_, f"{name}_{step}", scoring, needs=folder)
            return
        words = ["--stage", "mcq", *_flags(way.flags), *words, *scored]
        if not way.above:
            self.add(row, set_, name, words, home=home, file=file)
            return
        below = self.trained(row, set_, f"{way.above}_train")
        self.add(row, set_, name, [*words, "--adapter_name_or_path", str(below)], needs=below)

    def plain(self, row: str, set_: str, name: str, train: str, test: str, *flags: str) -> None:
        """STEP2 as a loop without this project's code; `flags` are further ones of the loop."""
        sweep = Sweep(self.folder(row, set_, name), ("--eval_dataset", test), {}, (self.seed,))
        words = [f"--model={self.setting.model}", f"--train={train}", f"--test={test}", f"--seed={self.seed}"]
        words += [f"--rate={WAYS['step2'].rate:g}", f"--head_rate={HEAD_RATE:g}", *flags]
        script = ("plain_loop.py", *words, f"--out={Piece(sweep, {}, self.seed).folder}")
        self.runs.append(Run(row, set_, name, sweep, self.seed, script=script))

    def untrained(
        self, row: str, set_: str, name: str, flags: str, test: Sequence[str], home: Home | None = None
    ) -> None:
        """Score with the language model as it is."""
        words = ["--stage", "mcq", *_flags(flags), *self.setting.language_model, "--do_predict"]
        self.add(row, set_, name, [*words, "--eval_dataset", ",".join(test)], home=home)

    def encoder(
        self, row: str, set_: str, name: str, train: Sequence[str], test: Sequence[str], way: Way | None = None
    ) -> None:
        """Train MiniLM whole, and score; STEP2 if no way is given."""
        head = _flags((way or WAYS["step2"]).flags)
        words = ["--stage", "mcq", "--model_name_or_path", self.setting.encoder, *_flags(_ENCODER), *head]
        self.add(
            row, set_, name, [*words, "--dataset", ",".join(train), "--do_predict", "--eval_dataset", ",".join(test)]
        )


def _flags(text: str) -> list[str]:
    """Flags whose values have no blank."""
    return text.split()
