"""One head a file, behind a plain dictionary. Adding one: CONTRIBUTING.md."""

from llmtuner.mcq.heads.linear import LinearHead

HEADS = {"linear": LinearHead}
