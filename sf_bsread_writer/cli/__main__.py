"""``python -m sf_bsread_writer.cli``: the same as the program ``sf_bsread``."""

import sys

from sf_bsread_writer.cli import main

if __name__ == "__main__":
    sys.exit(main())
