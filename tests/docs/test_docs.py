"""The documentation site builds without a warning, is whole, and asks nothing of the network."""

import io
import os
import re
import subprocess
import sys
import time
import tomllib
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location

import nbformat
import numpy as np
import pytest
import yaml
from matplotlib.image import imread

from helpers.browser import NEEDS_BROWSER, browser, show
from helpers.paths import ROOT
from qrnn.devices.hardware import IN_SERVICE
from qrnn.utils.figure_style import DARK

DOCS = ROOT / "docs"


def hook(name):
    """Return a module of docs/hooks/."""
    spec = spec_from_file_location(name, DOCS / "hooks" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: it hides warnings from --strict.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


class Requests(HTMLParser):
    """Collects what a page loads by itself: not what a reader can click on."""

    LOADS = frozenset({"script", "img", "iframe", "source", "video", "audio", "embed", "object"})

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in self.LOADS:
            self.found += [given[name] for name in ("src", "srcset", "data") if given.get(name)]
        loads = ("stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload")
        if tag == "link" and set(given.get("rel", "").split()) & set(loads):
            self.found.append(given.get("href", ""))
        self.found += re.findall(r"url\(([^)]*)\)", given.get("style") or "")


def test_the_pages_load_nothing_from_elsewhere(site):
    pages = sorted(site.glob("**/*.html"))
    assert len(pages) > 15
    for page in pages:
        requests = Requests()
        requests.feed(page.read_text(encoding="utf-8"))
        assert requests.found, page.name
        for address in requests.found:
            assert not re.match(r"['\"]?(?:[a-z]+:)?//", address), f"{page.name}: {address}"
            local = address.split("?")[0].split("#")[0]
            if not local.startswith("data:"):
                base = site if local.startswith("/") else page.parent
                assert (base / local.lstrip("/")).exists(), f"{page.name}: {address}"
    for sheet in site.glob("**/*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), sheet.name


ASK = """
const field = document.querySelector("[data-md-component=search-query]");
field.focus();
field.value = arguments[0];
for (const name of ["keyup", "input"]) field.dispatchEvent(new Event(name, {bubbles: true}));
"""
FOUND = "return [...document.querySelectorAll('.md-search-result__link')].map(one => one.href)"


@NEEDS_BROWSER
def test_search_works_in_pages_read_from_disk(site, driver):
    for page in ("index.html", "api/cells.html"):
        assert show(driver, site / page, 1280) == []
        driver.execute_script(ASK, "trajectories")
        end = time.monotonic() + 20
        while not (links := driver.execute_script(FOUND)) and time.monotonic() < end:
            time.sleep(0.1)
        assert (site / "devices.html").as_uri() in [link.split("?")[0] for link in links], page


def test_every_figure_has_a_light_and_a_dark_form():
    pictures = sorted((DOCS / "images").iterdir())
    assert len(pictures) > 9
    for picture in pictures:
        if picture.suffix == ".svg":
            assert DARK in picture.read_text(encoding="utf-8"), picture.name
        else:
            both = {picture.stem.removesuffix("_dark") + end for end in (".png", "_dark.png")}
            assert both <= {one.name for one in pictures}, picture.name


@pytest.mark.parametrize("name", ["architecture", "cell"])
def test_the_letters_of_a_drawing_can_be_read_on_a_phone(name):
    text = (DOCS / f"images/{name}.svg").read_text(encoding="utf-8")
    width = int(re.search(r'viewBox="0 0 (\d+) ', text)[1])
    assert (
        min(map(int, re.findall(r'font-size="(\d+)"', text))) * 358 / width > 7
    )  # pixels; indices


@NEEDS_BROWSER
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_fit_a_phone_and_follow_the_scheme(site, driver, scheme):
    for page in ("index", "architecture", "inspect", "report", "performance", "tutorial"):
        show(driver, site / f"{page}.html", 390, scheme)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        figures = [one for one in driver.find_elements("css selector", "article img") if one.size]
        figures = [one for one in figures if one.is_displayed()]
        assert figures, page
        for figure in figures:
            assert figure.rect["x"] + figure.rect["width"] <= 390, page
            picture = imread(io.BytesIO(figure.screenshot_as_png), format="png")[..., :3]
            assert (np.median(picture) > 0.5) == (scheme == "light"), figure.get_attribute("src")


def test_every_page_is_in_the_navigation():
    def pages(nav):
        for entry in nav:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else pages(value)

    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md")}
    listed = list(pages(config["nav"]))
    assert len(listed) == len(set(listed))
    assert set(listed) - there == {"tutorial.md"}  # made of the notebook
    assert there - set(listed) == set(), "add it to the nav of mkdocs.yml"


def test_the_tables_of_devices_are_those_of_the_declarations():
    tables = hook("device_tables")
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.page(text) == text, "run make docs"


def test_every_device_that_is_no_plugin_is_in_the_tables():
    from qrnn.config.device_table import IBM_BACKEND, PLUGIN, device_table

    others = (IBM_BACKEND, PLUGIN)
    own = {f"`{name}`" for name, (_, cls) in device_table().loaded() if cls not in others}
    assert own <= set(hook("device_tables").DEVICES)


def test_every_public_name_is_in_the_reference(site):
    import qrnn

    pages = [page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html")]
    reference = "".join(pages)
    for name in qrnn.__all__:
        assert re.search(rf'id="qrnn\.(?:\w+\.)*{name}"', reference), name


def test_formulas_are_mathematics(site):
    page = (site / "how-it-works.html").read_text(encoding="utf-8")
    assert page.count("<math") > 20
    assert "arithmatex" not in page
    assert "$$" not in page
    assert "\\psi" not in page


def test_commands_of_the_results_are_blocks(site):
    page = (site / "results.html").read_text(encoding="utf-8")
    assert re.search(r"<details>.*?<pre.*?qrnn train", page, re.DOTALL)


def test_the_tutorial_is_ready_for_colab():
    kept = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in kept.cells)
    name = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    (installed,) = re.findall(r'%pip install .*?"(.*)"', text)
    assert installed == f"{name}[ibm]"
    assert "colab.research.google.com/github/pennylane-qrnn/qrnn/blob/main/docs/tutor" in text
    start = hook("notebook").DOCS
    links = re.findall(r"\]\((.*?)\)", text)
    assert len(links) > 3
    for link in links:  # in Colab, the pages are not beside the notebook
        assert link.startswith("https://"), link
        assert not link.startswith(start) or (DOCS / link.removeprefix(start)).is_file(), link


@pytest.mark.slow
def test_the_tutorial_runs_and_its_page_has_its_pictures(site, tmp_path):
    kept = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    ran = hook("run_tutorial").run(tmp_path)

    def outputs(notebook):
        return [[out.output_type for out in c.outputs] for c in notebook.cells if "outputs" in c]

    assert outputs(ran) == outputs(kept), "run docs/hooks/run_tutorial.py"
    accuracy = re.search(r"best checkpoint: validation accuracy (\d+)%", str(ran.cells))
    assert int(accuracy[1]) > 80
    page = (site / "tutorial.html").read_text(encoding="utf-8")
    pictures = re.findall(r'<img[^>]*src="(tutorial/[^"]+)"', page)
    assert len(pictures) == sum(row.count("display_data") for row in outputs(kept)) > 3
    assert all((site / picture).is_file() for picture in pictures)
    assert (DOCS / "tutorial.ipynb").stat().st_size < 300_000


def test_the_citation_names_the_licence_and_leaves_the_version_to_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert "version" not in citation  # it is in qrnn/__init__.py alone
    assert citation["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_commands_and_pages_name_backends_that_are_in_service():
    files = list(DOCS.glob("*.md"))
    for folder in ("configs", "qrnn", "examples"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml")]
    assert len(files) > 200
    named = {
        f"{path.name}: {name}"
        for path in files
        for name in re.findall(r"\bibm_[a-z]+\b", path.read_text(encoding="utf-8"))
        if name not in IN_SERVICE and not name.startswith("ibm_jobs")
    }
    assert named == set()
