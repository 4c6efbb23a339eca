"""The retrievers, one a file; `llmtuner.spec.retrievers` lists them."""
