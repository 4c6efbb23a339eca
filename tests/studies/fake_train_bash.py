"""Stands in for src/train_bash.py: writes the results of a prediction whose scores depend on the seed alone.

FAKE_STATUS=NAME:STATUS,... makes commands fail whose output folder's path holds NAME; FAKE_SLEEP makes each wait.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

flags = dict(word.removeprefix("--").split("=", 1) if "=" in word else (word[2:], "") for word in sys.argv[1:])
out = Path(flags["output_dir"])
print("words:", json.dumps(sys.argv[1:]))
time.sleep(float(os.environ.get("FAKE_SLEEP", "0")))
for rule in filter(None, os.environ.get("FAKE_STATUS", "").split(",")):
    name, status = rule.split(":")
    if name in str(out):
        print(f"error: {name} is bad")
        sys.exit(int(status))
out.mkdir(parents=True, exist_ok=True)
with (out.parent / f"{out.name}.commands").open("a") as file:
    file.write("train " if "do_train" in flags else "predict ")
if "do_train" in flags:
    (out / "train_results.json").write_text(json.dumps({"train_loss": 1.5}))
if "do_predict" in flags:
    draw = random.Random(flags["seed"])
    rows = [
        {"id": str(i), "ranking": "ABCD", "probabilities": dict.fromkeys("ABCD", 0.25),
         "scores": {letter: draw.random() for letter in "ABCD"}, "answer": "A"}
        for i in range(40)
    ]  # fmt: skip
    (out / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    above = [sum(score >= row["scores"]["A"] for score in row["scores"].values()) for row in rows]  # the rank of A
    figures = {"predict_map@3": sum(1 / rank for rank in above if rank <= 3) / 40, "predict_accuracy": 0.25}
    baselines = {"floor_random_map@3": 0.4583, "floor_random_accuracy": 0.25}
    (out / "predict_results.json").write_text(json.dumps(figures | baselines))
