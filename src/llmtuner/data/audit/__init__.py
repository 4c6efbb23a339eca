"""What is wrong with multiple-choice files, and what can be scored on them without knowing anything: `run.audit`."""
