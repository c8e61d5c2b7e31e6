"""Draw docs/report.png, the README's picture, from a finished sweep: the top of its page in headless Chromium.

    make picture                                    # runs the demo first, where it has not finished
    python docs/picture.py outputs/demo docs/report.png

Needs Chromium or Chrome (`apt-get install chromium`; the variable CHROMIUM names another).
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rdrop_exp.report import write_page
from rdrop_exp.report.pictures import find_chrome
from tests.report.chromium import Chromium

WIDTH, HEIGHT, MOST_BYTES = 1280, 1440, 300_000


def draw(trials: Path, picture: Path) -> None:
    """Write the picture; an error says what is missing."""
    binary = find_chrome()
    if binary is None:
        sys.exit("docs/picture.py: no Chromium or Chrome: apt-get install chromium, or set CHROMIUM")
    with tempfile.TemporaryDirectory() as folder:
        page = write_page([trials], Path(folder) / "report.html")
        with Chromium(binary, Path(folder) / "profile") as browser:
            browser.open(page.as_uri(), WIDTH, HEIGHT)
            browser.until("document.querySelectorAll('.plot .main-svg').length >= 3")
            browser.evaluate("document.documentElement.style.scrollbarWidth = 'none'")
            browser.screenshot(picture)
            if browser.errors:
                sys.exit(f"docs/picture.py: the page has errors: {browser.errors}")
    if picture.stat().st_size > MOST_BYTES:
        sys.exit(f"docs/picture.py: {picture} is larger than {MOST_BYTES:,} bytes")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    draw(*(arguments or [Path("outputs/demo"), Path("docs/report.png")]))
