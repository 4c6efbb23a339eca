"""One loss a file, behind a plain dictionary. Adding one: CONTRIBUTING.md."""

from llmtuner.mcq.losses.cross_entropy import cross_entropy

LOSSES = {"cross_entropy": cross_entropy}
