"""Many runs of one command: each run is a folder of its own, and what is done is not done again."""
