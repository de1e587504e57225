"""Predict first: say what a network will do before it is shown. Drawn without torch."""

from attnlab.ui import warmup
from attnlab.ui.lessons.predict import predict_page
from attnlab.ui.shell import inside_app

inside_app()
predict_page()
warmup.start()
