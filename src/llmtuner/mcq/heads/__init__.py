"""One head a file, behind a plain dictionary. Adding one: CONTRIBUTING.md."""

from llmtuner.mcq.heads.base import OptionHead
from llmtuner.mcq.heads.cduma import CdumaHead
from llmtuner.mcq.heads.duma import DumaHead
from llmtuner.mcq.heads.linear import LinearHead
from llmtuner.mcq.heads.option_mean import OptionMeanHead

HEADS: dict[str, type[OptionHead]] = {
    "linear": LinearHead,
    "option_mean": OptionMeanHead,
    "duma": DumaHead,
    "cduma": CdumaHead,
}
