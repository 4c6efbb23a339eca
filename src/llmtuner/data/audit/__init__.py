"""The audit of multiple-choice files: defects, repeats, baselines without a language model. Entry: `run.audit`."""
