"""Which ways are compared, on which files: first minus second."""

from __future__ import annotations

from collections.abc import Callable

from llmtuner.spec.retrievers import RETRIEVERS

Cell = tuple[str, str]  # way, file
Pair = tuple[Cell, Cell]
Pairs = Callable[[str], list[Pair]]  # by set

# Each step and the step before it.
STEPS = (
    ("step1", "untrained_letters"),
    ("likelihood", "untrained_likelihood"),
    ("step2", "step1"),
    ("step2", "likelihood"),
    ("step2_on_step1", "step2"),
    ("duma", "step2"),
    ("cduma", "step2"),
    ("mixed_loss", "step2"),
)
HEADS = (("duma", "step2"), ("cduma", "step2"), ("minilm_duma", "minilm_step2"), ("minilm_cduma", "minilm_step2"))
KNOWS = (
    ("likelihood_char", "letters"),
    ("letters_cyclic", "letters"),
    ("likelihood_sum", "likelihood_char"),
    ("likelihood_token", "likelihood_char"),
    ("likelihood", "likelihood_char"),
    ("letters_5_shots", "letters"),
    ("likelihood_5_shots_char", "likelihood_char"),
)
RATES = (
    ("step2_0.0003", "step1_0.0003"),
    ("step2_0.0003", "likelihood_0.001"),
    ("step2_0.001", "step2_0.0003"),
    ("duma_head_0.0003", "step2_0.0003"),
    ("cduma_head_0.0003", "step2_0.0003"),
)
READERS = ("likelihood", "step2", "minilm")


def none(set_: str) -> list[Pair]:
    """Nothing is compared."""
    return []


def on_test(*ways: tuple[str, str], part: str = "test") -> Pairs:
    """Ways on the same questions."""
    return lambda set_: [((first, f"{set_}/{part}"), (second, f"{set_}/{part}")) for first, second in ways]


def knows(set_: str) -> list[Pair]:
    """Ways without a training, on whichever file of the set they scored."""
    return [pair for part in ("test", "test_closed") for pair in on_test(*KNOWS, part=part)(set_)]


def reading(set_: str) -> list[Pair]:
    """With passages minus without; retrieved minus given; then what the reader does without its passage, or with a
    wrong one."""
    given, closed, other, searched = (
        f"{set_}/test",
        f"{set_}/test_closed",
        f"{set_}/test_other",
        f"{set_}_retrieved/test",
    )
    return [
        pair
        for name in READERS
        for pair in (
            ((f"{name}_gold", given), (f"{name}_none", closed)),
            ((f"{name}_retrieved", searched), (f"{name}_none", closed)),
            ((f"{name}_retrieved", searched), (f"{name}_gold", searched)),
            ((f"{name}_gold", closed), (f"{name}_none", closed)),
            ((f"{name}_gold", other), (f"{name}_gold", given)),
        )
    ]


def reading_kaggle(set_: str) -> list[Pair]:
    """With passages minus without, where they help (column `useful`) and where they do not."""
    closed = (f"{set_}/test_closed",)
    return [
        ((f"{name}_given", f"{set_}/{part}"), (f"{name}_none", *closed))
        for name in READERS
        for part in ("test_useful", "test_not_useful")
    ]


def corpus(set_: str) -> list[Pair]:
    """With what each retriever finds minus without."""
    searched = [f"corpus/{set_}_{name}" for name in (*RETRIEVERS, "worldtree")]
    return [(("likelihood", each), ("likelihood", f"{set_}/test")) for each in searched]
