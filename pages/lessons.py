"""Short lessons, and the questions that are asked before and after them. Drawn without torch."""

from attnlab.ui import warmup
from attnlab.ui.lessons.catalogue import lesson_list
from attnlab.ui.lessons.forms import forms
from attnlab.ui.shell import inside_app

inside_app()
lesson_list()
forms()
warmup.start()
