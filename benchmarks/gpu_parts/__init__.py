"""The parts of benchmarks/gpu.py: the model, its ways to compute a question, and the three questions about them."""
