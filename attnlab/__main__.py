"""``python -m attnlab``: everything the app can do, without a screen."""

import sys

from attnlab.cli import main

sys.exit(main())
