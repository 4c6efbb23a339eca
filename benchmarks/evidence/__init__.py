"""The parts of benchmarks/heads_and_losses.py: exams, cached token states, trainings, and the report."""
