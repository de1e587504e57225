"""The page that takes variants and networks apart."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.attention import list_attention
from attnlab.models import list_models
from attnlab.runs.folder import run_folders
from tests.pages import ROOT, open_page, seen

VARIANTS = list_attention()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> AppTest:
    """The page in one session, in which each test chooses something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNLAB_HOME", str(tmp_path_factory.mktemp("home")))
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        open_page(app, "pages/anatomy.py")
        yield app  # type: ignore[misc]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_page_of_every_variant_opens_and_shows_all_of_it(page: AppTest, name: str) -> None:
    page.selectbox(key="anatomy.variant.name").set_value(name).run()
    assert not page.exception, page.exception
    variant = VARIANTS[name]
    assert page.query_params["variant"] in (name, [name])
    said = seen(page)
    assert variant.summary in said and variant.strength in said
    assert any(f"class {variant.block.__name__}" in each.value for each in page.code), "the source is shown"
    assert ("Trained weights" in said) != ("not trained" in said) or not any(True for _ in run_folders(paths.DEMO_RUNS))
    assert [each.label for each in page.metric][:2] == ["Parameters", "Operations for one image"]
    assert {each.replace("_", " ") for each in variant.options} <= {each.label for each in page.select_slider}


def test_a_slider_counts_anew(page: AppTest) -> None:
    page.selectbox(key="anatomy.variant.name").set_value("eca").run()
    page.select_slider(key="anatomy.eca.kernel_size").set_value("adaptive").run()
    page.select_slider(key="anatomy.channels").set_value(512).run()
    assert page.metric[0].value == "5"


def test_what_the_report_and_our_tables_measured_is_shown(
    page: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.selectbox(key="anatomy.variant.name").set_value("conv_autoencoder").run()
    table = page.dataframe[0].value
    assert "The course report, 2023" in set(table["where"]) and 67.5 in set(table["accuracy"].round(1))
    page.selectbox(key="anatomy.variant.name").set_value("simam").run()
    assert all(where.startswith("League: ") for where in page.dataframe[0].value["where"]), "the report has no SimAM"
    monkeypatch.setattr(paths, "DEMO_LEAGUES", tmp_path / "none")
    page.run()
    assert "did not train SimAM" in seen(page)


@pytest.mark.slow
def test_the_pages_of_networks_open(page: AppTest) -> None:
    page.segmented_control(key="anatomy.kind").set_value("network").run()
    for name, network in list_models().items():
        page.selectbox(key="anatomy.network.name").set_value(name).run()
        assert not page.exception, page.exception
        assert network.summary in seen(page) and page.query_params["network"] in (name, [name])
    page.segmented_control(key="anatomy.kind").set_value("variant").run()
