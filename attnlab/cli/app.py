"""The program ``attnlab``: its commands, and what they have in common when something goes wrong.

Results go to stdout (with ``--json`` exactly one JSON object), progress and errors to stderr. Exit codes: 0 done, 2 a
wrong request or a failed run, 130 stopped by Ctrl-C. Torch is imported only by the commands that need it.
"""

from __future__ import annotations

import os
import re
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from cyclopts import App, CycloptsError, Parameter, convert

from attnlab import __version__, paths
from attnlab.cli.common import OK, complain
from attnlab.cli.demo import demo
from attnlab.cli.grid import grid_app
from attnlab.cli.honesty import honesty
from attnlab.cli.league import league
from attnlab.cli.lesson import lesson_app
from attnlab.cli.list import list_
from attnlab.cli.open import open_
from attnlab.cli.read import read
from attnlab.cli.reproduce import reproduce_app
from attnlab.cli.runs import compare, delete, pause, reindex, rename, restore, runs, stop
from attnlab.cli.search import search
from attnlab.cli.tensorboard import tensorboard
from attnlab.cli.train import resume, train
from attnlab.config import explain
from attnlab.desk.permissions import MODE, Mode, server_mode
from attnlab.desk.teacher import teacher_token
from attnlab.files import why_not_written
from attnlab.worker.openmp import spin_briefly


def _converted(type_: Any, tokens: Any) -> Any:
    """As cyclopts converts words of the command line, but a whole number with a fraction is refused and not rounded, and an
    empty path is refused too.

    Args:
        tokens: a sequence of `cyclopts.Token`; of a dictionary, one for each key.
    """
    if not isinstance(tokens, Mapping) and Path in (type_, *get_args(type_)):
        for token in tokens:
            if not token.value.strip():  # Path would take it for the current folder
                raise ValueError("the path is empty")
    if not isinstance(tokens, Mapping) and int in (type_, *get_args(type_)) and float not in get_args(type_):
        for token in tokens:
            if re.fullmatch(r"[+-]?\d*\.\d+", token.value) and not float(token.value).is_integer():
                raise ValueError(f"{token.value} is not a whole number")
    return convert(type_, tokens)


app = App(
    name="attnlab",
    default_parameter=Parameter(converter=_converted),
    help="A visual laboratory for attention in image classification. `attnlab app` opens it in the browser.",
    version=__version__,
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command. Returns the exit code."""
    spin_briefly()
    try:
        return app(sys.argv[1:] if arguments is None else arguments) or OK
    except CycloptsError as error:
        return complain(str(error))
    except ValueError as error:
        return complain(explain(error))
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except PermissionError as error:
        return complain(f"this program has no permission for {error.filename or paths.home()}")
    except OSError as error:
        reason = why_not_written(error, paths.home())
        return complain(f"{reason}: {error.filename}" if error.filename else reason)


@app.command(name="app")
def app_(
    *streamlit: str,
    port: int | None = None,
    address: str | None = None,
    browser: bool | None = None,
    classroom: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Open the app in the browser.

    Parameters
    ----------
    streamlit
        further options of `streamlit run`, after --: attnlab app -- --server.baseUrlPath lab
    port
        where it listens (default: the first free one from 8501)
    address
        where it listens: 127.0.0.1 is this machine alone, 0.0.0.0 is every machine on the network (default: this machine
        alone; with --classroom, every machine)
    browser
        open a browser window (default: if this machine has a screen)
    classroom
        let other machines connect, each browser with the runs that it makes; prints the teacher's token (docs/classroom.md)
    """
    if classroom:
        os.environ[MODE] = Mode.CLASSROOM
    shared = server_mode() is Mode.CLASSROOM
    if shared:
        teacher_token(paths.home())  # says here what is wrong with the one that was chosen
    elif address not in (None, "localhost", "127.0.0.1", "::1"):
        raise ValueError(f"with --address {address} other machines could connect; to let them in, add --classroom")
    options = ["--server.address", address or ("0.0.0.0" if shared else "127.0.0.1"), "--server.showEmailPrompt", "false"]
    if shared:  # Streamlit's own message asks a server on the internet for this machine's address there
        options += ["--logger.hideWelcomeMessage", "true"]
    if port is not None:
        options += ["--server.port", str(port)]
    # The settings beside app.py say headless, for servers. Without the option Streamlit looks for a screen by itself.
    if browser is None:
        browser = sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    options += ["--server.headless", "false" if browser else "true"]
    # Streamlit reads .streamlit/config.toml beside the script last, so it wins over those of the home and the current folder.
    sys.argv = ["streamlit", "run", str(paths.ROOT / "app.py"), *options, *streamlit]
    runpy.run_module("streamlit", run_name="__main__")
    return OK


_ABOUT_RUNS = (train, read, resume, runs, stop, pause, rename, delete, restore, compare, reindex)
for _command in (*_ABOUT_RUNS, league, search, honesty, tensorboard, demo):
    app.command(_command)
for _family in (grid_app, lesson_app, reproduce_app):
    app.command(_family)
app.command(list_, name="list")
app.command(open_, name="open")
