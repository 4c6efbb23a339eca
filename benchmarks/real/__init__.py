"""Parts of real_model.py: sets of questions, what is run on them, and the report."""
