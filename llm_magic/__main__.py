"""``python -m llm_magic`` is ``llm-magic``."""

import sys

from llm_magic.cli import main

if __name__ == "__main__":
    sys.exit(main())
