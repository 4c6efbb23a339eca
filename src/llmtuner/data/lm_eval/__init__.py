"""Samples of lm-evaluation-harness as predictions of this project."""
