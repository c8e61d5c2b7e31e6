"""The page's figures as SVG and PNG files: headless Chrome opens the page, which draws and encodes them (downloads.js).

The page is the only source of figures: what it shows is what is saved.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from rdrop_exp.config.schema import OptionError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1280,900",
    "--virtual-time-budget=60000",  # ms; passes only while the page is idle: enough for hundreds of figures
    "--dump-dom",
)  # fmt: skip
SECONDS = 600.0
"""Longest wait for Chrome."""


def find_chrome() -> str | None:
    """Path of a Chromium or Chrome (the variable CHROMIUM names another), or None."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def write_figures(html: str, folder: Path) -> list[Path]:
    """Write every figure of a report's page to `folder`, each as SVG and PNG; the files in the order of the page.

    `OptionError` in one sentence without a Chrome, or if it fails.
    """
    chrome = find_chrome()
    if chrome is None:
        raise OptionError("--figures needs Chromium or Chrome: install one, or set CHROMIUM to its path")
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, svg, png in _draw(chrome, html):
        place = folder / name
        while place.with_name(f"{place.name}.svg") in written:
            place = place.with_name(f"{place.name}-2")
        written += [place.with_name(f"{place.name}.{form}") for form in ("svg", "png")]
        written[-2].write_text(svg, encoding="utf-8")
        written[-1].write_bytes(base64.b64decode(png))
    return written


def _draw(chrome: str, html: str) -> list[tuple[str, str, str]]:
    """Name, SVG, and PNG in base64 of each figure, from the element in which the page leaves them."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "report.html"
        page.write_text(html, encoding="utf-8")
        command = [chrome, *FLAGS, f"--user-data-dir={folder}/profile", f"{page.as_uri()}#pictures"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise OptionError(f"--figures: {chrome} did not finish within {SECONDS:g} seconds") from error
    dom = done.stdout.decode("utf-8", errors="replace")
    drawn = re.search(r'<script type="application/json" id="pictures">(.*?)</script>', dom, re.DOTALL)
    if drawn is None:
        raise OptionError(f"--figures: {chrome} drew no figures (exit code {done.returncode})")
    return [(name, svg, png) for name, svg, png in json.loads(drawn[1])]
