"""What a dry run says, as one value: the text and the JSON are made of it, so both have the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llmtuner.data.question import Question

FITS, TOO_LARGE, UNKNOWN = "fits", "does not fit", "unknown"
_BINS = 10


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the run, and where its value comes from."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class DataFile:
    """The content of a file of questions.

    Args:
        use: "training" or "evaluation".
        rows: questions that can be read.
        answered, with_context: how many of them have an answer, a context.
        options, places: how many have this number of options, and their answer at this letter.
        errors, warnings: the file's defects, one line each.
    """

    path: str
    use: str
    rows: int
    answered: int = 0
    with_context: int = 0
    options: dict[str, int] | None = None
    places: dict[str, int] | None = None
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, path: str, use: str, questions: Sequence[Question], errors: Sequence[object], warnings: Sequence[object]
    ) -> DataFile:
        """Count questions."""
        counts = [str(len(question.options)) for question in questions]
        answers = [str(question.answer_letter) for question in questions if question.answer is not None]
        return cls(
            path=path,
            use=use,
            rows=len(questions),
            answered=len(answers),
            with_context=sum(bool(question.context.strip()) for question in questions),
            options={name: counts.count(name) for name in sorted(set(counts), key=int)},
            places={name: answers.count(name) for name in sorted(set(answers))},
            errors=tuple(map(str, errors)),
            warnings=tuple(map(str, warnings)),
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a prompt.

    Args:
        role: template, example, context, question, option or letter.
        scored: whether the score, or the loss of stage sft, is read from it.
    """

    id: int
    text: str
    role: str
    scored: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question as the model reads it.

    Args:
        why: why it is shown.
        length: tokens of its longest sequence.
        sequences: one, or one for each option.
    """

    id: str
    where: str
    why: str
    length: int
    cut: int
    over: int
    sequences: tuple[tuple[Token, ...], ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the questions of a set, before they are cut.

    Args:
        cut: questions that lose tokens of their context.
        too_long: questions that are longer than the limit even without a context.
        bins: (from, to, questions), each with both ends included.
    """

    name: str
    questions: int
    minimum: int
    median: int
    p95: int
    maximum: int
    cutoff_len: int
    cut: int
    too_long: int
    bins: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, name: str, lengths: Sequence[int], cutoff_len: int, *, cut: int, too_long: int) -> Lengths:
        """The distribution of lengths, of which there is at least one; quantiles are values that occur."""
        ordered = sorted(lengths)
        last = len(ordered) - 1
        width = max(1, -(-(ordered[-1] - ordered[0] + 1) // _BINS))
        starts = range(ordered[0], ordered[-1] + 1, width)
        bins = tuple((low, low + width - 1, sum(low <= n < low + width for n in ordered)) for low in starts)
        middle, high = ordered[last // 2], ordered[-(-last * 95 // 100)]
        return cls(name, len(ordered), ordered[0], middle, high, ordered[-1], cutoff_len, cut, too_long, bins)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a training.

    Args:
        done: steps of an earlier run that this one resumes.
        batches_per_epoch: of each process.
    """

    questions: int
    batches_per_epoch: int
    per_epoch: int
    epochs: float
    total: int
    done: int
    processes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a step needs, on each device.

    Args:
        available: free before the model is loaded.
        optimizer: its states.
        activations: what a step needs beside the others.
        checkpointing: whether gradient checkpointing is on, which needs less memory and more time.
        measured: whether a step was made; otherwise the figures are upper bounds.
    """

    purpose: str
    device: str
    available: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    needed: int
    checkpointing: bool
    measured: bool
    fits: bool


@dataclass(frozen=True, slots=True)
class Speed:
    """Measured times.

    Args:
        unit: what a step is: a step of the training, or a batch of the prediction.
        longest_tokens, typical_tokens: tokens of the batches that were measured, padding included.
        longest_seconds, typical_seconds: of a step of such batches.
        steps: in the whole run.
        seconds: of all steps, each as long as the typical one.
    """

    purpose: str
    unit: str
    longest_tokens: int
    typical_tokens: int
    longest_seconds: float
    typical_seconds: float
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What only tokenizer and model tell."""

    prompts: tuple[Prompt, ...] = ()
    lengths: tuple[Lengths, ...] = ()
    steps: Steps | None = None
    memory: tuple[Memory, ...] = ()
    speed: tuple[Speed, ...] = ()
    advice: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Whether the run fits into the memory."""
        if not self.memory:
            return UNKNOWN
        return FITS if all(memory.fits for memory in self.memory) else TOO_LARGE


@dataclass(frozen=True, slots=True)
class DryRun:
    """Everything that a dry run says.

    Args:
        error: why the run would not begin; "" if it would.
        writes_to: the output folder, which the dry run does not touch.
    """

    command: str
    writes_to: str
    settings: tuple[Setting, ...]
    data: tuple[DataFile, ...]
    notes: tuple[str, ...] = ()
    measured: Measured | None = None
    error: str = ""

    @property
    def status(self) -> str:
        """Whether the run fits into the memory."""
        return UNKNOWN if self.measured is None else self.measured.status

    def record(self) -> dict[str, Any]:
        """The dry run for JSON."""
        return {"status": self.status, **asdict(self)}
