"""Who this browser is in a classroom: what it may do, and where the teacher enters the token."""

from attnlab.ui.classroom import classroom
from attnlab.ui.shell import inside_app

inside_app()
classroom()
