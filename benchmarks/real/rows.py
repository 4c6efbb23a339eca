"""The questions of the comparison, and the runs that answer each. The core comes first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from llmtuner.spec.retrievers import RETRIEVERS
from real import pairs
from real.pairs import Pairs
from real.retrieved import SEARCHED
from real.runs import WAYS, Builder, Run, Setting

KNOWS = ("kaggle", "arc_easy", "openbookqa", "qasc_dev", "mmlu_stem", "scienceqa", "exam")
WITH_SHOTS = ("arc_easy", "qasc_dev")
READERS = ("likelihood", "step2")
EVERY = 50  # steps between two points of the curve
STEPS = ("step1", "likelihood", "step2", "step2_on_step1", "duma", "cduma", "mixed_loss")
_STEPS = pairs.on_test(*pairs.STEPS)


@dataclass(frozen=True)
class RowOfRuns:
    """One question.

    Args:
        build: adds its runs for one seed.
        sets: that it needs.
        pairs: what is compared with what.
        seeds: how many are worth running; 1 where nothing is random.
    """

    title: str
    build: Callable[[Builder], None]
    sets: tuple[str, ...]
    pairs: Pairs = pairs.none
    seeds: int = 3


def _knows(add: Builder) -> None:
    for name in KNOWS:
        test = [
            add.setting.file(name, "test_closed" if name in ("qasc_dev", "openbookqa", "exam", "scienceqa") else "test")
        ]
        home = ("steps", "untrained_letters") if name == "arc_easy" else None
        add.untrained("knows", name, "letters", "--mcq_head letter", test, home=home)
        add.untrained("knows", name, "letters_cyclic", "--mcq_head letter --mcq_option_orders 10", test)
        add.untrained("knows", name, "likelihood", "--mcq_head likelihood --mcq_likelihood_norm pmi", test)
        if name in WITH_SHOTS:
            solved = add.setting.file(
                {"qasc_dev": "qasc"}.get(name, name), "train_closed" if name == "qasc_dev" else "train"
            )
            shots = f"--mcq_shots 5 --mcq_shots_from {solved}"
            add.untrained("knows", name, "letters_5_shots", f"--mcq_head letter {shots}", test)
            add.untrained(
                "knows", name, "likelihood_5_shots", f"--mcq_head likelihood {shots} --mcq_likelihood_norm pmi", test
            )


def _steps(row: str, *sets: str) -> Callable[[Builder], None]:
    def build(add: Builder) -> None:
        for name in sets:
            train, test = (add.setting.file(name, part) for part in ("train", "test"))
            for head in ("letter", "likelihood") if add.seed == 1 else ():  # nothing is random
                way = "untrained_letters" if head == "letter" else "untrained_likelihood"
                add.untrained(row, name, way, f"--mcq_head {head}", [test])
            for way in STEPS:
                read = name == "qasc" and way in READERS  # the row `reading` needs more scores of these runs
                add.learns(row, name, way, [train], _read(add) if read else [test], file=f"{name}/test")

    return build


def _rates(add: Builder) -> None:
    """Three rates of the weights for each way, and of the head for linear and DUMA."""
    train, test = (add.setting.file("rates", part) for part in ("train", "test"))
    for name in ("step1", "likelihood", "step2"):
        for rate in (1e-4, 3e-4, 1e-3):
            add.learns("rates", "rates", f"{name}_{rate:g}", [train], [test], way=replace(WAYS[name], rate=rate))
    for head, rates in (("linear", (3e-4, 3e-3)), ("duma", (1e-4, 3e-4, 1e-3)), ("cduma", (1e-4, 3e-4, 1e-3))):
        for rate in rates:
            way = replace(WAYS["step2"], flags=f"--mcq_head {head} --head_learning_rate {rate:g}")
            add.learns("rates", "rates", f"{head}_head_{rate:g}", [train], [test], way=way)


def _read(add: Builder) -> list[str]:
    """QASC's scored questions with their own passages, without, with another question's, and with searched ones."""
    own = [add.setting.file("qasc", part) for part in ("test", "test_closed", "test_other")]
    return [*own, add.setting.file("qasc_retrieved", "test")]


def _reading(add: Builder) -> None:
    """Trained without and with passages; each scored without, with its own, and with another question's."""
    file, tests = add.setting.file, _read(add)
    trained = {
        "none": (file("qasc", "train_closed"), tests[:-1]),
        "gold": (file("qasc", "train"), tests),
        "retrieved": (file("qasc_retrieved", "train"), tests),
    }
    for name, (train, scored) in trained.items():
        for way in READERS:
            home = ("steps", way) if name == "gold" else None
            add.learns("reading", "qasc", f"{way}_{name}", [train], scored, way=WAYS[way], home=home)
        add.encoder("reading", "qasc", f"minilm_{name}", [train], scored)


def _curve(add: Builder) -> None:
    """MAP@3 on 300 questions during the training: STEP2 and likelihood evaluate it; STEP1's checkpoints are scored."""
    train, test = (add.setting.file("arc_easy", part) for part in ("train", "test_300"))
    for way in ("step2", "likelihood"):
        add.learns("curve", "arc_easy", way, [train], [test], more=f"--eval_strategy steps --eval_steps {EVERY}")
    saving = f"--save_strategy steps --save_steps {EVERY} --save_only_model true"
    add.learns("curve", "arc_easy", "step1", [train], [test], more=saving, checkpoints=range(EVERY, 250, EVERY))


def _heads(add: Builder) -> None:
    """DREAM, which DUMA was made for: MiniLM trained whole, SmolLM2 with LoRA."""
    train, test = (add.setting.file("dream", part) for part in ("train", "test"))
    for way in ("step2", "duma", "cduma"):
        add.learns("heads", "dream", way, [train], [test])
        add.encoder("heads", "dream", f"minilm_{way}", [train], [test], way=WAYS[way])


def _corpus(add: Builder) -> None:
    """Untrained likelihood, closed book and with passages of the textbooks."""
    folder = add.setting.work / "data" / "corpus"
    for name in SEARCHED:
        searched = [str(folder / f"{name}_{retriever}.jsonl") for retriever in RETRIEVERS]
        searched += [str(folder / "arc_easy_worldtree.jsonl")] if name == "arc_easy" else []
        add.untrained(
            "corpus", name, "likelihood", "--mcq_head likelihood", [add.setting.file(name, "test"), *searched]
        )


def _contrast(add: Builder) -> None:
    """A contrastive term in the plain loop; both ways with dropout, which the term needs."""
    train, test = (add.setting.file("kaggle", part) for part in ("train", "test"))
    for name, weight in (("plain_dropout", 0), ("plain_contrast", 0.5)):
        add.plain("contrast", "kaggle", name, train, test, "--dropout=0.1", f"--contrast={weight:g}")


def _reading_kaggle(add: Builder) -> None:
    """Trained on Kaggle's and QASC's questions, without and with passages."""
    file = add.setting.file
    parts = ("test_useful", "test_not_useful", "test_closed", "test_other")
    tests = [file("kaggle_passages", part) for part in parts]
    for name, part in (("none", "train_closed"), ("given", "train")):
        train = [file("kaggle_passages", part), file("qasc", part)]
        for way in ("likelihood", "step2"):
            add.learns("reading_kaggle", "kaggle_passages", f"{way}_{name}", train, tests, way=WAYS[way])
        add.encoder("reading_kaggle", "kaggle_passages", f"minilm_{name}", train, tests)


def _cleaning(add: Builder) -> None:
    """STEP2 on questions with planted wrong answers, and on what the project's cleaning leaves of them."""
    for name in ("uncleaned", "cleaned"):
        train = [add.setting.file("cleaning", name)]
        add.learns("cleaning", "kaggle", name, train, [add.setting.file("kaggle", "test")], way=WAYS["step2"])


def _trainer(add: Builder) -> None:
    train, test = (add.setting.file("kaggle", part) for part in ("train", "test"))
    add.learns("trainer", "kaggle", "step2", [train], [test], home=("steps_kaggle", "step2"))
    add.plain("trainer", "kaggle", "plain", train, test)


ROWS = {
    "rates": RowOfRuns("Which learning rates?", _rates, ("rates",), pairs.on_test(*pairs.RATES), seeds=1),
    "steps": RowOfRuns(
        "STEP1, STEP2, STEP3", _steps("steps", "arc_easy", "qasc"), ("arc_easy", "qasc", "qasc_retrieved"), _STEPS
    ),
    "knows": RowOfRuns("What does it know?", _knows, (*KNOWS, "qasc"), pairs.knows, seeds=1),
    "reading": RowOfRuns("Does a passage help?", _reading, ("qasc", "qasc_retrieved"), pairs.reading),
    "trainer": RowOfRuns("Is the trainer right?", _trainer, ("kaggle",), pairs.on_test(("step2", "plain"))),
    "curve": RowOfRuns("MAP@3 during the training", _curve, ("arc_easy",), seeds=1),
    "steps_kaggle": RowOfRuns(
        "STEP1, STEP2, STEP3 on Kaggle's questions", _steps("steps_kaggle", "kaggle"), ("kaggle",), _STEPS, seeds=1
    ),
    "steps_scienceqa": RowOfRuns(
        "STEP1, STEP2, STEP3 on ScienceQA", _steps("steps_scienceqa", "scienceqa"), ("scienceqa",), _STEPS, seeds=1
    ),
    "heads": RowOfRuns("Heads where they were made for", _heads, ("dream",), pairs.on_test(*pairs.HEADS), seeds=1),
    "corpus": RowOfRuns("Does a corpus help?", _corpus, (*SEARCHED, "corpus"), pairs.corpus, seeds=1),
    "reading_kaggle": RowOfRuns(
        "Does a passage help with Kaggle's questions?",
        _reading_kaggle,
        ("qasc", "kaggle_passages"),
        pairs.reading_kaggle,
        seeds=1,
    ),
    "contrast": RowOfRuns(
        "Does a contrastive term help?",
        _contrast,
        ("kaggle",),
        pairs.on_test(("plain_contrast", "plain_dropout")),
    ),
    "cleaning": RowOfRuns(
        "Does cleaning help?", _cleaning, ("kaggle", "cleaning"), pairs.on_test(("cleaned", "uncleaned")), seeds=1
    ),
}


def runs_of(names: list[str], setting: Setting, seed: int) -> list[Run]:
    """The runs of some rows with one seed."""
    runs: list[Run] = []
    for name in names:
        if seed <= ROWS[name].seeds:
            builder = Builder(setting, seed)
            ROWS[name].build(builder)
            runs += builder.runs
    return runs
