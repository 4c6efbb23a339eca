"""Multiple-choice exams for LLaMA-Factory: data, layouts, heads, losses and scoring.

Importing this package is light: no torch, no transformers.
"""

__version__ = "0.1.0"
