"""Questions: how files are read and checked, how prompts are made of them, how sets are built and audited."""
