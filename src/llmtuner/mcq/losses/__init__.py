"""One loss a file, behind a plain dictionary. Adding one: CONTRIBUTING.md.

A loss maps scores ``[Q, N]`` in fp32, answers ``[Q]`` and a mask ``[Q, N]`` of the options that exist to one number a
question, ``[Q]``; the trainer takes the mean over the questions of an optimizer step, however they are batched.
"""

from llmtuner.mcq.losses.cross_entropy import cross_entropy

LOSSES = {"cross_entropy": cross_entropy}
