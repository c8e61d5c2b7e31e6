"""The page in a real browser: it opens without an error or a request, sorts, filters, changes its colours, and follows.

Needs Chromium or Chrome (`apt-get install chromium`; the variable CHROMIUM names another). SCREENSHOTS names a folder
that keeps pictures to look at.
"""

import threading
from pathlib import Path

import pytest

from rdrop_exp.report import write_page
from rdrop_exp.report.compare import make_report
from rdrop_exp.report.serve import make_server
from tests.report.chromium import Chromium, keep, opened
from tests.report.trials import EARLY, NONE, RDROP, write_trial

GROUPS = "[...document.querySelectorAll('#table tbody th')].map((cell) => cell.textContent)"


def sort_state(browser: Chromium, key: str) -> str:
    state: str = browser.evaluate(f"document.querySelector('th[data-key={key}]').getAttribute('aria-sort')")
    return state


def test_opens_without_an_error_or_a_request(browser: Chromium, page: str) -> None:
    opened(browser, page)
    keep(browser, "light")
    assert browser.errors == []
    assert {url.split(":")[0] for url in browser.requests} <= {"file", "data", "blob"}
    assert len([url for url in browser.requests if url.startswith("file:")]) == 1
    assert "So far (24 of 25 trials)" in browser.evaluate("document.querySelector('.conclusion').textContent")
    shown = browser.evaluate("[...document.querySelectorAll('main > section:not([hidden])')].map((s) => s.id)")
    assert shown == [
        "groups", "effects", "options", "curves", "schedules", "pairs", "parallel", "cost", "failures", "reproduce",
    ]  # fmt: skip
    assert browser.evaluate("document.querySelector('#failures').textContent").count("the loss is not finite") == 1


def test_sorting_by_click(browser: Chromium, page: str) -> None:
    opened(browser, page)
    ranked = browser.evaluate(GROUPS)
    assert ranked[0] == "rdrop dropout=0.3 alpha=1"
    assert sort_state(browser, "rank") == "ascending"
    click = "document.querySelector('th[data-key={}] button').click()"
    browser.evaluate(click.format("test_mean"))
    assert (sort_state(browser, "test_mean"), sort_state(browser, "rank")) == ("descending", "none")
    assert browser.evaluate(GROUPS) == ranked  # test equals validation in these trials
    browser.evaluate(click.format("test_mean"))
    assert sort_state(browser, "test_mean") == "ascending"
    assert browser.evaluate(GROUPS) == ranked[::-1]
    browser.evaluate(click.format("p_adjusted"))
    assert browser.evaluate(GROUPS)[-1] == "none"  # what has no value goes last, whichever way
    browser.evaluate(click.format("p_adjusted"))
    assert browser.evaluate(GROUPS)[-1] == "none"
    assert browser.evaluate("location.hash") == "#sort=p_adjusted%2C-1"
    assert browser.errors == []


def test_a_link_keeps_the_view(browser: Chromium, page: str) -> None:
    opened(browser, page + "#sort=training_seconds,1&theme=dark")
    assert browser.evaluate(GROUPS)[0] == "none"
    assert sort_state(browser, "training_seconds") == "ascending"
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"


def test_the_table_is_used_by_keyboard(browser: Chromium, page: str) -> None:
    opened(browser, page)
    browser.evaluate("document.querySelector('th[data-key=gap] button').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13
        )
    assert sort_state(browser, "gap") == "ascending"
    assert browser.evaluate("document.activeElement.textContent") == "gap"  # focus stays for the next press
    assert browser.evaluate("document.querySelector('.skip').getAttribute('href')") == "#groups"


def test_every_figure_has_words(browser: Chromium, page: str) -> None:
    opened(browser, page)
    labels = browser.evaluate("[...document.querySelectorAll('.plot')].map((p) => p.getAttribute('aria-label'))")
    assert len(labels) >= 8
    assert all(len(label) > 30 for label in labels)
    assert any(label.startswith("test accuracy over alpha") for label in labels)
    named = (
        "[...document.querySelectorAll('button, input')].every((e) => e.textContent || e.ariaLabel || e.labels.length)"
    )
    assert browser.evaluate(named)


def test_ticking_a_group_draws_it(browser: Chromium, page: str) -> None:
    opened(browser, page)
    lines = (
        "document.querySelector('#curves .plot').data.filter((t) => t.mode === 'lines' && !t.fill).map((t) => t.name)"
    )
    before = browser.evaluate(lines)
    assert "none, val" in before
    browser.evaluate("document.querySelector('#table tbody tr:last-child input').click()")
    after = browser.evaluate(lines)
    assert len(before) == 2 * 2  # the best group and the baseline
    assert abs(len(after) - len(before)) == 2
    for _ in range(8):
        browser.evaluate("document.querySelector('#table tbody input:not(:checked)')?.click()")
    assert len(browser.evaluate(lines)) <= 2 * 7
    assert "untick one first" in browser.evaluate("document.querySelector('#filter-count').textContent")
    assert browser.errors == []


def test_colours_follow_the_system_and_the_button(browser: Chromium, page: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    axis = "document.querySelector('#cost .plot').layout.font.color"
    opened(browser, page, dark=True)
    keep(browser, "dark")
    assert browser.evaluate(background) == "rgb(20, 23, 27)"
    dark = browser.evaluate(axis)
    browser.evaluate("document.querySelector('#theme').click()")
    assert browser.evaluate(background) == "rgb(255, 255, 255)"
    assert browser.evaluate(axis) != dark
    assert browser.evaluate("document.querySelector('#theme').ariaLabel") == "Switch to dark colours"
    assert browser.errors == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(browser: Chromium, page: str, dark: bool) -> None:
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for the lines of the figures."""
    opened(browser, page, dark=dark)
    ratios = browser.evaluate("""(() => {
      const probe = document.createElement('span');
      document.body.append(probe);
      const light = (name) => {
        probe.style.color = `var(--${name})`;
        const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
          .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ratio = (name) => {
        const [low, high] = [light(name), light('paper')].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      };
      const slots = [0, 1, 2, 3, 4, 5, 6].map((i) => `slot${i}`);
      return Object.fromEntries(['ink', 'quiet', 'accent', 'good', 'bad', ...slots].map((name) => [name, ratio(name)]));
    })()""")
    assert {name for name, ratio in ratios.items() if ratio < (3 if name.startswith("slot") else 4.5)} == set()


def test_figures_are_updated_in_place(browser: Chromium, page: str) -> None:
    """Not drawn anew, so that a zoomed axis stays."""
    opened(browser, page)
    plot = "document.querySelector('#curves .plot')"
    browser.evaluate(f"{plot}.mark = 1; document.querySelector('#table tbody tr:nth-child(3) input').click()")
    assert browser.evaluate(f"[{plot}.mark, {plot}.layout.uirevision]") == [1, "accuracy, %"]
    assert len(browser.evaluate(f"{plot}.data.filter((t) => !t.fill).map((t) => t.name)")) == 6


def test_many_groups_are_shown_in_part_and_filtered(browser: Chromium, tmp_path: Path) -> None:
    for i in range(60):
        write_trial(tmp_path, RDROP | {"alpha": 1 + i / 10}, 0, 0.9 + i / 1000, rows=3)
    write_trial(tmp_path, NONE, 0, 0.8, rows=3)
    opened(browser, write_page([tmp_path], tmp_path / "report.html").as_uri())
    assert len(browser.evaluate(GROUPS)) == 50
    assert browser.evaluate("document.querySelector('#all-rows').textContent") == "Show all 61 groups"
    forest = "document.querySelector('#effects .plot').data.flatMap((t) => t.name === 'clipped' ? [] : t.y).length"
    assert browser.evaluate(forest) == 50
    browser.evaluate("document.querySelector('#all-rows').click()")
    assert (len(browser.evaluate(GROUPS)), browser.evaluate(forest)) == (61, 60)
    browser.evaluate(
        "Object.assign(document.querySelector('#filter'), {value: 'alpha=6.'}).dispatchEvent(new Event('input'))"
    )
    assert len(browser.evaluate(GROUPS)) == 9  # 6.1 to 6.9
    assert browser.errors == []


def test_a_page_without_a_readable_trial(browser: Chromium, tmp_path: Path) -> None:
    (write_trial(tmp_path, NONE, 0) / "result.json").write_text("{")
    browser.open(write_page([tmp_path], tmp_path / "report.html").as_uri())
    assert "No trial could be read: 1 damaged." in browser.evaluate("document.querySelector('.conclusion').textContent")
    assert browser.errors == []


def test_the_served_page_follows_the_sweep(browser: Chromium, tmp_path: Path) -> None:
    server = make_server(lambda: make_report([tmp_path]), port=0, seconds=0.2)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
        assert "No trials yet" in browser.evaluate("document.querySelector('.conclusion').textContent")
        assert "no trials in" in browser.evaluate("document.querySelector('#conclusions').textContent")
        for seed in range(2):
            write_trial(tmp_path, NONE, seed, 0.8)
            write_trial(tmp_path, RDROP, seed, 0.9 + seed / 100)
        browser.until("document.querySelectorAll('#table tbody tr').length === 2")
        browser.evaluate("document.querySelector('th[data-key=gap] button').click()")
        write_trial(tmp_path, EARLY, 0, 0.95)
        browser.until("document.querySelectorAll('#table tbody tr').length === 3")
        assert sort_state(browser, "gap") == "ascending"  # where the reader stood
        assert browser.errors == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    browser.until("document.querySelector('#created').textContent.endsWith('the server has stopped')")
