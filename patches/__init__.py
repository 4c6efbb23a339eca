"""Every point of contact with upstream (llamafactory 0.9.5), one file each.

Each module says in its docstring which upstream object it changes, why, and when it can go; its `apply()` may be
called any number of times. `install()` applies all of them. Importing this package is light; applying is not.
"""

from __future__ import annotations

from importlib import import_module

# In the order in which they must be applied: what upstream needs to be importable first.
PATCHES = {
    "optional_media": "torchaudio optional; broken torchvision or torchaudio said in one line",
    "arguments": "our flags beside upstream's; its argument errors as the user's",
    "dataset_names": "paths and dataset_info_ext.json beside dataset_info.json",
    "dataset_files": "multiple-choice files through the checked readers",
    "dataset_converter": 'formatting "mcq"',
    "dataset_split": "--val_size by question",
    "dataset_encoding": "field-wise tokens, cut in the context only",
    "dataset_processor": "those tokens inside upstream's processors",
    "accuracy_metric": "predict_accuracy, 2023's prefix match",
    "option_head": "a head for --stage mcq in the models that upstream loads",
    "letter_scores": "MAP@3 from the letters' probabilities, predictions.jsonl, submission.csv",
}


def install() -> None:
    """Apply every patch; a second call changes nothing.

    Raises:
        patches.seam.SeamError: upstream is not as a patch expects it.
    """
    for name in PATCHES:
        import_module(f"patches.{name}").apply()
