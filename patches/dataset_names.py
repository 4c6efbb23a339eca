"""`--dataset` takes our names and file paths, besides the names in dataset_info.json.

Upstream: the name `get_dataset_list` in `llamafactory.data.loader` (0.9.0 to 0.9.5), which knows the names of only one
dataset_info.json and joins a file's name to the folder without checking where it leads.
Can go when upstream takes several registries and paths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmtuner.data.read_as import split_query
from llmtuner.data.registry import DataSource, find_source
from patches.seam import Seam

SEAM = Seam("llamafactory.data.loader", "get_dataset_list", ("dataset_names", "dataset_dir"))


def apply() -> None:
    """Look up each name in our registry first."""
    SEAM.replace(_with_our_names)


def _with_our_names(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def get_dataset_list(dataset_names: list[str] | None, dataset_dir: str | dict[str, Any]) -> list[Any]:
        if isinstance(dataset_dir, dict):
            return original(dataset_names, dataset_dir)
        attributes = []
        for name in dataset_names or []:
            source = find_source(name, dataset_dir)
            attributes += original([split_query(name)[0]], dataset_dir) if source is None else [_attribute(source)]
        return attributes

    return get_dataset_list


def _attribute(source: DataSource) -> Any:
    """Upstream's description of a data set, with our files; `mcq_source` marks it for the patch of the loader."""
    from llamafactory.data.parser import DatasetAttr

    attribute = DatasetAttr("file", dataset_name=source.name)
    attribute.join({"formatting": "mcq", "num_samples": source.num_samples})
    attribute.mcq_source = source
    return attribute
