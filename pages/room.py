"""Where a class works together: the lesson, what is predicted, and the runs of the whole class. Drawn without torch."""

from attnlab.ui import warmup
from attnlab.ui.room.page import room_page
from attnlab.ui.shell import inside_app

inside_app()
room_page()
warmup.start()
