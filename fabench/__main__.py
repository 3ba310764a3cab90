"""``python -m fabench`` is ``fabench``."""

from fabench.cli import script

script()
