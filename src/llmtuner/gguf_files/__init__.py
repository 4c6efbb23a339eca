"""Models in GGUF files: their metadata, a tokenizer built from it, and conversion to a Hugging Face folder."""
