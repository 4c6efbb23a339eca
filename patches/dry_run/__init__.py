"""A dry run of either stage: the run's own code up to a few real steps on its longest batch. Nothing is saved."""
