"""Training of every recipe by one Lightning module and one data module.

Nothing is imported here: the command line lists recipes without loading torch.
"""
