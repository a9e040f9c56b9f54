"""The real server under concurrency: the merged log of its answers held against the model."""
