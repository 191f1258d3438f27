"""``python -m pyg_relational``, the same as the command ``pyg-relational``."""

import sys

from pyg_relational.cli import main

if __name__ == "__main__":
    sys.exit(main())
