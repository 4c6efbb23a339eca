"""The parts of demo.py: what it runs, how, and what it says at the end."""
