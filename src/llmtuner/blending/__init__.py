"""Predictions of several runs put together: blends, and cascades of a small and a large model."""
