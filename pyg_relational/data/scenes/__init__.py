"""NetworkX scenes as training data, and back."""
