"""Stands in for src/train_bash.py in folds: training notes its ids, prediction scores the held-out questions.

The right option always gets 2, the others 0, except for ids that end with "9": there the next option gets 5.
FAKE_STATUS=NAME:STATUS makes commands fail whose output folder's path holds NAME; FAKE_SLEEP makes each wait.
"""

import json
import os
import sys
import time
from pathlib import Path

flags = dict(word.removeprefix("--").split("=", 1) if "=" in word else (word[2:], "") for word in sys.argv[1:])
out = Path(flags["output_dir"])
time.sleep(float(os.environ.get("FAKE_SLEEP", "0")))
name, _, status = os.environ.get("FAKE_STATUS", "").partition(":")
if name and name in str(out):
    print(f"error: {name} is bad")
    sys.exit(int(status))
out.mkdir(parents=True, exist_ok=True)
with (out.parent / f"{out.name}.commands").open("a") as file:
    file.write(json.dumps({"step": "train" if "do_train" in flags else "predict", **flags}) + "\n")
if "do_predict" in flags:
    lines = Path(flags["eval_dataset"].partition("?")[0]).read_text().splitlines()
    predictions = []
    for row in map(json.loads, lines):
        letters = "ABCDEFGHIJ"[: len(row["options"])]
        scores = dict.fromkeys(letters, 0.0) | {letters[row["answer"]]: 2.0}
        if row["id"].endswith("9"):
            scores[letters[(row["answer"] + 1) % len(letters)]] = 5.0
        predictions.append({"id": row["id"], "scores": scores, "answer": letters[row["answer"]]})
    text = "".join(json.dumps(each) + "\n" for each in reversed(predictions))
    (out / "predictions.jsonl").write_text(text)
    (out / "predict_results.json").write_text(json.dumps({"predict_map@3": 0.5}))
