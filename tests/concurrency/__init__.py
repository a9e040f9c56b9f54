"""The real server under concurrency, held against the model by the sequence numbers of its answers."""
