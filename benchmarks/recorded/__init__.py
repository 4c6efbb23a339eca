"""The parts of benchmarks/recorded_scores.py: cases, models and questions, the process that runs them, comparison."""
