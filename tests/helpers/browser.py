"""Headless Chromium, for the tests of pages: the report's and the documentation's."""

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

BROWSER, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
NEEDS_BROWSER = pytest.mark.skipif(
    not (BROWSER and DRIVER and find_spec("selenium")),
    reason="needs selenium and Chromium: make install; apt-get install chromium chromium-driver",
)
FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)


@contextmanager
def browser(folder):
    """Open Chromium, with its profile in a folder; yield its driver."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={folder}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # A proxy of the machine's is not for this driver, which is on the machine.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", ",".join(filter(None, [os.environ.get("NO_PROXY"), "localhost"])))
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            yield driver
        finally:
            driver.quit()


def show(driver, page: Path, width: int, scheme: str = "light", media: str = ""):
    """Load a page in a window of a width; return what the console said.

    Args:
        driver: the browser's.
        page: the page's file.
        width: of the window, pixels; below 500, it is a phone.
        scheme: `light` or `dark`.
        media: `print` for the page as it is printed; empty: as on the screen.
    """
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": media, "features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    driver.get_log("browser"), driver.get_log("performance")
    driver.get(page.as_uri())
    return driver.get_log("browser")
