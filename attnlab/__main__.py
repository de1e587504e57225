"""``python -m attnlab``: everything the app can do, without a screen."""

import sys

from attnlab.cli.app import main

sys.exit(main())
