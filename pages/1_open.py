"""The address /open on a server that nobody has visited yet: see `attnlab.ui.shell.ADDRESSES`."""

from attnlab.ui.shell import inside_app

inside_app()
