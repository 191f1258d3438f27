class NotStoredError(ValueError):
    """A dataset whose batches cannot be cut from stored tensors; the text says why."""
