"""One head per file, declared in `llmtuner.spec.heads`. Adding one: CONTRIBUTING.md."""

from llmtuner.mcq.heads.base import OptionHead
from llmtuner.spec import heads as spec

HEADS: dict[str, type[OptionHead]] = {name: head.load() for name, head in spec.HEADS.items() if head.pools}
