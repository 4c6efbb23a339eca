"""Every point of contact with upstream (llamafactory 0.9.5), one file each.

Each module's docstring says which upstream object it changes, why, and when it can go. Its `apply()` is idempotent.
`install()` applies all patches. Importing this package is cheap; applying the patches is not.
"""

from __future__ import annotations

from importlib import import_module

# In the order of application: first what makes upstream importable.
PATCHES = {
    "optional_media": "torchaudio optional; a broken torchvision or torchaudio gives one line",
    "arguments": "our flags beside upstream's; its argument errors as the user's",
    "dataset_names": "paths and dataset_info_ext.json beside dataset_info.json",
    "dataset_files": "multiple-choice files through the checked readers",
    "dataset_converter": 'formatting "mcq"',
    "dataset_split": "--val_size by question",
    "dataset_encoding": "field-wise tokens, cut in the context only",
    "dataset_processor": "those tokens inside upstream's processors",
    "chat_template": "the saved template `empty` read as such; others that cannot be read are the user's to name",
    "template_tokens": "tokens without embeddings refused before the model is loaded, in stage sft",
    "tokenized_path": "tokenised data only for what it was made of",
    "gradient_checkpointing": "off on a CPU with enough memory",
    "option_orders": "how many orders of the options stage sft scores letters in",
    "accuracy_metric": "predict_accuracy, 2023's prefix match",
    "model_weights": "models with missing weights are refused",
    "option_head": "a head for --stage mcq in the models that upstream loads",
    "letter_scores": "MAP@3 from the letters' probabilities, predictions.jsonl, submission.csv",
}


def install() -> None:
    """Apply every patch; a second call changes nothing.

    Raises:
        patches.seam.SeamError: upstream differs from what a patch expects.
    """
    for name in PATCHES:
        import_module(f"patches.{name}").apply()
