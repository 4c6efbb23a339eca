"""An index on disk: the chunks of a corpus and what the retrievers stored of them, with a manifest."""
