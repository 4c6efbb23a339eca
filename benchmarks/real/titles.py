"""How ways and files are called in tables."""

from __future__ import annotations

import re

from real.runs import STEP, WAYS

_WAYS = {
    "letters": "letters",
    "letters_cyclic": "letters, all cyclic orders",
    "letters_5_shots": "letters, 5 examples",
    "likelihood_5_shots": "likelihood (pmi), 5 examples",
    "untrained_letters": "letters, not trained",
    "untrained_likelihood": "likelihood, not trained",
    "plain": "plain loop",
    "plain_dropout": "plain loop with dropout",
    "plain_contrast": "plain loop with dropout and contrast",
    "cleaned": "STEP2, trained on cleaned questions",
    "uncleaned": "STEP2, trained on all questions",
}
_TRAINED = {
    "none": "trained without passages",
    "gold": "trained with own passages",
    "retrieved": "trained with searched passages",
    "given": "trained with passages",
}
_PARTS = {
    "test": "as they are",
    "test_300": "as they are",
    "test_closed": "no passage",
    "test_other": "another question's passage",
    "test_useful": "a passage that helps",
    "test_not_useful": "a passage that does not help",
}


def title_of_way(way: str, row: str) -> str:
    """The title of a way; a trained likelihood and one that is not trained have the same name in two rows."""
    if row in ("knows", "corpus") and way == "likelihood":
        return "likelihood (pmi)" if row == "knows" else "likelihood"
    if way in _WAYS:
        return _WAYS[way]
    if way in WAYS:
        return WAYS[way].title
    if way.startswith("minilm_"):
        rest = way.removeprefix("minilm_")
        return f"MiniLM, {_TRAINED.get(rest) or title_of_way(rest, row)}"
    start, _, last = way.rpartition("_")
    if last in _TRAINED:
        return f"{title_of_way(start, row)}, {_TRAINED[last]}"
    if start.endswith("_head"):
        return f"{start.removesuffix('_head')}, head's rate {float(last):g}"
    if row == "curve" and last.isdigit():
        return f"{title_of_way(start, row)}, {int(last) * STEP:,} questions"
    if _is_number(last):
        return f"{title_of_way(start, row)}, rate {float(last):g}"
    base = {"likelihood": "likelihood", "likelihood_5_shots": "likelihood, 5 examples"}
    return f"{base[start]} ({last})"


def title_of_model(folder: str) -> str:
    """The name of a model without what the project's cache adds to it: precision and hash."""
    return re.sub(r"-float(16|32)-[0-9a-f]+$", "", folder)


def title_of_file(file: str) -> str:
    """What the questions of a file have as passages."""
    folder, _, part = file.partition("/")
    if folder == "corpus":
        return "WorldTree's facts, bm25" if part.endswith("worldtree") else f"textbooks, {part.rpartition('_')[2]}"
    return "searched passages" if folder.endswith("_retrieved") else _PARTS[part]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
