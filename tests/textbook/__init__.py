"""Parts, and what they compute in textbook loops, one family of models a file."""
