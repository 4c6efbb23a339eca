"""Names of the files in a model's folder, as transformers and peft write them."""

from __future__ import annotations

# Each of them says by itself how a tokenizer splits text; the first that a folder has is the one that is used.
VOCABULARY_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
TOKENIZER_FILES = (
    *VOCABULARY_FILES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# What a training tells of itself: transformers' state, and upstream's log.
TRAINER_STATE, TRAINER_LOG = "trainer_state.json", "trainer_log.jsonl"
# The figures that a run ends with; the last has those of all its parts.
TRAIN_RESULTS, EVAL_RESULTS = "train_results.json", "eval_results.json"
PREDICT_RESULTS, ALL_RESULTS = "predict_results.json", "all_results.json"
# Beside the weights: what a model or an adapter is loaded with. No later command writes these.
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "adapter_config.json",
    "mcq_config.json",
    *TOKENIZER_FILES,
    "chat_template.jinja",
)
