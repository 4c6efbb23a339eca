"""The parts of benchmarks/recorded_scores.py: cases, models and questions, worker process, comparison."""
