"""Small runs, questions and trainings for the tests of reports, and texts that try to become markup."""

from __future__ import annotations

import json
import random
from pathlib import Path

from llmtuner.data.predictions import Prediction, write_predictions
from llmtuner.data.question import LETTERS

EVIL = "<script>alert(1)</script><!--\"'><img src=x onerror=alert(2)><i>i</i>&lt;b&gt;\u2028{{ 7 * 7 }}$x_1^2$题目"
SUBJECTS = ("physics", "biology", "history")


def questions(count: int = 30, *, evil: str = "", options: int = 5, seed: int = 0) -> list[dict]:
    """Records of a question file with a subject and a mark of useful passages; every other passage is blank."""
    draw = random.Random(seed)
    return [
        {
            "id": f"q{number}{evil}",
            "prompt": f"Question {number} about plants{'?' * draw.randint(1, 30)}{evil}",
            **{letter: f"option {letter} of {number}{evil}" for letter in LETTERS[:options]},
            "answer": LETTERS[draw.randrange(options)],
            "context": "" if number % 2 else f"Plants have option {number}. {evil} " + "long text " * 200,
            "subject": SUBJECTS[number % 3] + evil,
            "useful": number % 4 == 0,
        }
        for number in range(count)
    ]


def predictions(records: list[dict], *, skill: float = 1.5, seed: int = 1, dataset: str = "", answers: bool = True):
    """Predictions of the records; a higher skill is right more often."""
    draw = random.Random(seed)
    made = []
    for record in records:
        letters = [letter for letter in LETTERS if letter in record]
        answer = letters.index(record["answer"])
        scores = tuple(draw.gauss(0, 1) + skill * (place == answer) for place in range(len(letters)))
        made.append(Prediction(record["id"], scores, answer if answers else None, dataset))
    return made


def write_run(folder: Path, made: list[Prediction], results: dict | None = None) -> Path:
    """The output folder of a prediction."""
    write_predictions(made, folder)
    if results is not None:
        (folder / "predict_results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def write_questions(path: Path, records: list[dict]) -> Path:
    """A question file in JSON lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def write_training(folder: Path, steps: int = 6) -> Path:
    """The output folder of a training that was evaluated every second step."""
    folder.mkdir(parents=True, exist_ok=True)
    history: list[dict] = []
    for step in range(1, steps + 1):
        history.append({"step": step, "loss": 2 / step, "learning_rate": 1e-4})
        if step % 2 == 0:
            history.append({"step": step, "eval_loss": 1.5, "eval_map@3": 0.5 + step / 100, "eval_accuracy": 0.4})
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": history}), encoding="utf-8")
    return folder
