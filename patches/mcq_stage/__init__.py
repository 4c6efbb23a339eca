"""--stage mcq: upstream's loader, callbacks, optimizers and plots around the engine in `llmtuner.mcq`.

These modules call upstream (llamafactory 0.9.5) and change nothing in it.
"""
