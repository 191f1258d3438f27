"""Entry point of the ``pyg-relational`` command."""

import sys
from collections.abc import Sequence

from pyg_relational._extras import extra_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    try:
        from pyg_relational.cli.commands import run

        return run(list(sys.argv[1:] if argv is None else argv))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if (extra := extra_of(package)) is None:
            raise
        print(
            f"pyg-relational: this command needs the package '{package}'; install it "
            f'with pip install "pyg-relational[{extra}]"',
            file=sys.stderr,
        )
        return 2
