"""The call in which stage sft loads its data, the last one before its model. Several patches lie around it.

It is the name `get_dataset` in `llamafactory.train.sft.workflow` (its parameters since 0.9.0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from patches.seam import Seam


@dataclass(frozen=True, slots=True)
class DataCall:
    """The arguments of one call."""

    template: Any
    model_args: Any
    data_args: Any
    training_args: Any
    stage: str
    tokenizer: Any
    processor: Any = None

    def arguments(self) -> dict[str, Any]:
        """All of them, by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


Load = Callable[[], Any]  # what lies inside the patch; the result holds the data sets by the trainer's arguments


class DataSeam(Seam):
    """The name of this call."""

    def around(self, step: Callable[[DataCall, Load], Any]) -> None:
        """Let `step` answer the call; it is given the arguments, and the function that loads."""

        def build(inner: Callable[..., Any]) -> Callable[..., Any]:
            def get_dataset(*given: Any, **named: Any) -> Any:
                call = DataCall(*given, **named)
                return step(call, lambda: inner(**call.arguments()))

            return get_dataset

        build.__module__, build.__qualname__ = step.__module__, step.__qualname__
        self.replace(build)


SEAM = DataSeam("llamafactory.train.sft.workflow", "get_dataset", tuple(each.name for each in fields(DataCall)))
