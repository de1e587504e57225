"""A variant that is one new file is in the form, can be trained, and stands in the table, with nothing else changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attention.new_variant import VARIANT
from tests.pages import ROOT

VISIT = """
import os
import time
from streamlit.testing.v1 import AppTest
from attnlab import paths
from attnlab.experiments.grid import list_grids, save_grid
from attnlab.experiments.league import every_variant, plan_league
from attnlab.experiments.managers import get_manager, shutdown_all
from attnlab.ui import warmup
from attnlab.ui.form.draft import EXACTLY
from tests.example_runs import finished_run

paths.DEMO_RUNS = paths.home() / "no-shipped-runs"
warmup.wait()
app = AppTest.from_file(os.path.abspath("app.py"), default_timeout=60).run()
app.segmented_control("home.kind").set_value("spatial").run()
assert any("Brightness" in element.value for element in app.markdown), "no card on the first page"

app.switch_page("pages/train.py").run()
(warning,) = (element.value.replace("\\\\", "") for element in app.warning)
assert "broken.py could not be loaded" in warning and "line 3" in warning, warning
variants = app.multiselect("form.variants")
assert "Brightness" in variants.options
variants.set_value(["brightness"]).run()
power = app.selectbox("form.model.attention.brightness.power")
assert power.options == ["1", "2"]
power.set_value(1)
small = {"dataset.subset": 80, "dataset.test_subset": 20, "model.width": 4, "training.epochs": 1}
app.segmented_control("form.budget").set_value(EXACTLY).run()
for name, value in small.items():
    app.number_input(f"form.{name}").set_value(value)
app.run()
app.button("train.start").click().run()
assert not app.exception, app.exception
(run,) = [record for record in get_manager().runs() if not record.demo]
assert run.config.model.attention_options == {"brightness": {"power": 2}}
assert get_manager().wait(run.run_id, 120).state == "finished"

base = run.config.changed(model__attention="none", model__attention_options={})
table, _ = plan_league(base, variants=[name for name in every_variant() if name != "brightness"], seeds=[0])
for row in table.rows:
    finished_run(paths.home(), table.cells[row.label, 0], 0.5)
save_grid(paths.home(), table)
get_manager().store.sync()
before = {record.run_id for record in get_manager().runs()}
app.switch_page("pages/league.py").run()
assert not app.exception, app.exception
assert app.button("league.add").label == "Put my variant into the table", app.button("league.add").label
app.button("league.add").click().run()
(table,) = list_grids(paths.home())
assert {"brightness", "brightness, weights fixed"} < {row.label for row in table.rows}
learned, fixed = (row.config for row in table.rows if row.config.model.attention == "brightness")
assert (learned.model.control, fixed.model.control) == ("none", "neutral")
while table.state != "done":
    time.sleep(0.1)
    table = list_grids(paths.home())[0]
assert {record.run_id for record in get_manager().runs()} == before | {learned.run_id, fixed.run_id}, "a cell was trained twice"
app.run()
told = next(each.value for each in app.dataframe if "against_plain" in each.value).set_index("name")
assert told.loc["brightness", "n"] == 1 and told.loc["brightness", "control"] >= 0

app.switch_page("pages/compare.py").run()
assert not app.exception, app.exception
table = app.dataframe[0].value
assert any("brightness" in name for name in table["name"]), list(table["name"])
shutdown_all()
"""


@pytest.mark.slow
def test_one_new_file_reaches_form_and_table(tmp_path: Path) -> None:
    (tmp_path / "brightness.py").write_text(VARIANT.strip() + "\n")
    (tmp_path / "broken.py").write_text("import torch\n\nbroken(\n")
    environment = os.environ | {
        "ATTNLAB_EXECUTOR": "thread",
        "ATTNLAB_HOME": str(tmp_path / "home"),
        "ATTNLAB_PLUGINS": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run([sys.executable, "-c", VISIT], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
