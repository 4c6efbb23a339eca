"""Audits multiple-choice files: defects, repeats, baselines without a language model. Entry point: `run.audit`."""
