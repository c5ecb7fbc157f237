"""The page of a run in headless Chromium: it loads in silence, fits the window, and is seen."""

import json

import pytest

import qrnn
from helpers.browser import NEEDS_BROWSER, browser, show
from helpers.report_pages import call, train_digits

pytestmark = NEEDS_BROWSER
WIDTHS = {"desktop": 1280, "phone": 390, "small phone": 360}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a run with evaluations, and the comparison of two runs."""
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_digits(patch, "a")
        call(patch, "evaluate", "checkpoint=a/best.ckpt", "limit=60")
        call(
            patch,
            "evaluate",
            "checkpoint=a/best.ckpt",
            "limit=2",
            "device=default.mixed",
            "device.noise=depolarizing",
            "device.strength=0.05",
        )
        train_digits(patch, "b", "trainer.seed=1")
        return {
            "run": qrnn.report("a").resolve(),
            "comparison": qrnn.report(["a", "b"], "both.html").resolve(),
        }


@pytest.fixture(params=["run", "comparison"])
def page(request, pages):
    return pages[request.param]


# Boxes of the figures, relative to the page, and whether they could be drawn.
FIGURES = """
return [...document.querySelectorAll("figure")].map(figure => {
  const image = figure.querySelector("img"), box = image.getBoundingClientRect();
  return {
    left: box.left, right: box.right, width: box.width, height: box.height,
    drawn: image.complete && image.naturalWidth > 0, visible: image.checkVisibility(),
    scrolls: figure.matches(".wide"),
    caption: figure.querySelector("figcaption").getBoundingClientRect().height,
  };
});
"""


TEXTS = """
const texts = document.querySelectorAll("h1, h2, h3, p, td, th, dt, dd, caption, figcaption");
return [...texts].map(one => getComputedStyle(one).color);
"""


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_it_loads_in_silence_and_every_figure_is_seen(driver, page, width):
    assert show(driver, page, width) == []
    found = driver.execute_script(FIGURES)
    assert len(found) == (6 if page.name == "report.html" else 0)
    for figure in found:
        assert figure["visible"]
        assert figure["drawn"]
        assert figure["width"] > 100
        assert figure["height"] > 60
        assert figure["caption"] > 0
        assert figure["left"] >= 0
        assert figure["right"] <= width or figure["scrolls"]


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_nothing_is_wider_than_the_window(driver, page, width):
    show(driver, page, width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    # What is wider scrolls in a box of its own.
    outside = driver.execute_script(
        """return [...document.querySelectorAll("body *")].filter(
             one => !one.closest(".scroll, pre") || one.matches(".scroll, pre")).filter(
             one => one.getBoundingClientRect().right > window.innerWidth + 0.5).map(
             one => one.tagName + ": " + one.textContent.slice(0, 40))"""
    )
    assert outside == []


def test_no_cell_of_a_table_is_out_of_sight_on_a_phone(driver, page):
    show(driver, page, 390)
    hidden = driver.execute_script(
        """return [...document.querySelectorAll("td")].filter(
             one => one.getBoundingClientRect().right > window.innerWidth).map(
             one => one.textContent)"""
    )
    assert hidden == []
    named = driver.execute_script(
        """return [...document.querySelectorAll(".many td")].map(
             one => getComputedStyle(one, "::before").content)"""
    )
    assert '"training"' in named or '"RMS z"' in named


A4 = 680  # pixels between the margins


def test_all_is_on_the_printed_page(driver, page):
    show(driver, page, A4, "dark", "print")
    cut = driver.execute_script(
        """return [...document.querySelectorAll("img, table, pre")].filter(
             one => one.getBoundingClientRect().right > window.innerWidth
               || one.scrollWidth > one.clientWidth + 1 && one.matches("pre")
               || one.scrollHeight > one.clientHeight + 1 && one.matches("pre")).map(
             one => one.outerHTML.slice(0, 60))"""
    )
    assert cut == []
    paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert luminance(paper) == pytest.approx(1)
    if page.name == "report.html":
        text = driver.execute_script("return document.body.innerText")
        assert "readout_depolarizing: 0.0" in text  # the configuration


def test_nothing_but_the_page_is_asked_for(driver, page):
    show(driver, page, 1280)
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in asked
    assert [url for url in asked if url != page.as_uri() and not url.startswith("data:")] == []


def luminance(colour: str) -> float:
    red, green, blue = (
        (value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4)
        for value in (int(part) / 255 for part in colour.split("(")[1].rstrip(")").split(",")[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_light_and_dark(driver, page, scheme):
    assert show(driver, page, 1280, scheme) == []
    paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for colour in set(driver.execute_script(TEXTS)):
        low, high = sorted((luminance(colour), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (colour, paper)
