"""The page is self-contained, escapes what it is told, and stands when parts are missing."""

import base64
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from neurovis.io import read_json, read_table
from neurovis.plotting import build_report, read_benchmarks, write_checks, write_figure, write_report_table
from neurovis.plotting.benchmarks import format_seconds
from neurovis.plotting.tables import MAX_ROWS, format_number, make_html_table

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags with attributes, visible text, and whether every tag is closed."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.stack, self.text = [], [], ""
        self.feed(path.read_text())
        assert self.stack == [], f"unclosed tags {self.stack}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.stack):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for name, section, order in (("b", "Maps", 2), ("a", "Maps", 1), ("c", "Scores", 0)):
        figure, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, 1])
        path = folder / "figures" / f"{name}.{'svg' if name == 'c' else 'png'}"
        write_figure(
            figure, path, title=f"Figure {name}", caption=f"Shows {name}.", section=section, order=order
        )
    table = pd.DataFrame({"region": ["V1", "FFA"], "median_r": [0.5, np.nan], "p": [0.2, 1e-5]})
    write_report_table(
        table, folder / "scores.tsv", title="By region", section="Scores", units={"median_r": "r"}
    )
    checks = pd.DataFrame(
        {
            "quantity": ["ceilings", "agreement", "speed"],
            "target": ["within 5 %", "at least 0.9", None],
            "mean": [0.0123, 0.88, 1200.0],
            "lower": [-0.004, 0.86, np.nan],
            "upper": [0.02, 0.9, np.nan],
            "n": [5, 5, 1],
            "passed": [True, False, None],
        }
    )
    write_checks(checks, folder / "checks.tsv")
    return folder


def _build(results, **options):
    return build_report(results, results.parent / "report.html", title="A report", **options)


def test_report_embeds_everything_and_loads_nothing(results):
    page = Page(_build(results))
    images = page.all("img")
    kinds = [image["src"].partition(",")[0] for image in images]
    assert kinds == [f"data:image/{kind};base64" for kind in ("svg+xml", "png", "png")]
    first = base64.b64decode(images[1]["src"].partition(",")[2])
    assert first == (results / "figures" / "a.png").read_bytes()
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "base")
        assert not attributes.get("href", "#").startswith(("http", "//"))
        assert attributes.get("src", "data:").startswith("data:")
    assert "@import" not in (results.parent / "report.html").read_text()
    assert "url(" not in (results.parent / "report.html").read_text()


def test_report_is_ordered_and_accessible(results):
    page = Page(_build(results, sections={"Scores": "How well.", "Empty": "Nothing here."}))
    order = [page.text.index(name) for name in ("ceilings", "How well.", "Figure c", "Figure a", "Figure b")]
    assert order == sorted(order)
    assert "Nothing here." not in page.text
    assert [image["alt"] for image in page.all("img")] == ["Shows c.", "Shows a.", "Shows b."]
    assert page.all("html")[0]["lang"] == "en"
    targets = {attributes.get("id") for _, attributes in page.tags}
    links = [attributes["href"] for attributes in page.all("a")]
    assert links
    assert all(link[1:] in targets for link in links)


def test_checks_are_counted_and_marked(results):
    text = " ".join(Page(_build(results)).text.split())
    assert "1 of 2 reached" in text
    assert "✓ reached ceilings 0.012 −0.004 to 0.020, n = 5 within 5 %" in text
    assert "✗ missed agreement 0.880" in text
    assert "speed 1,200 n = 1" in text


def test_html_in_names_is_escaped(results):
    nasty = "<script>alert('x')</script> & <b>bold</b>"
    table = pd.DataFrame({nasty: [nasty]})
    write_report_table(table, results / "nasty.tsv", title=nasty, caption=nasty, section=nasty)
    out = build_report(
        results, results.parent / "report.html", title=nasty, summary=nasty,
        failures=[(nasty, nasty, None)], details={nasty: {nasty: nasty}}, next_steps=[(nasty, nasty)],
    )  # fmt: skip
    page = Page(out)
    assert page.text.count("alert('x')") >= 12
    assert len(page.all("script")) == 1
    assert not page.all("b") or nasty not in out.read_text()


def test_broken_and_missing_parts_are_named_and_the_rest_stands(results, tmp_path):
    (results / "figures" / "a.png").unlink()
    (results / "scores.tsv").write_text("")
    (results / "cut.figure.json").write_text('{"kind": "fig')
    (results / "old.table.json").write_text(json.dumps({"kind": "table", "file": "old.tsv"}))
    (results / "checks.tsv").write_text("quantity\tmean\nceilings\t0.1\n")
    unfinished = results / ".half.png.x1"
    unfinished.mkdir()
    (unfinished / "half.figure.json").write_text("{}")
    log = tmp_path / "glm.log"
    log.write_text("\n".join(f"line {i}" for i in range(100)) + "\nValueError: <bad> run\n")
    page = Page(
        _build(results, failures=[("glm", "events.tsv is empty", log), ("rsa", "no input", tmp_path / "x")])
    )
    assert "7 parts could not be finished" in page.text
    for part in (
        "showing figures/a.figure.json",
        "a.png is not there",
        "scores.tsv is empty",
        "cut.figure.json is",
    ):
        assert part in page.text
    assert "checks.tsv must have the columns" in page.text
    assert "old.table.json must have the entries" in page.text
    assert "ValueError: <bad> run" in page.text
    assert "line 99" in page.text
    assert "line 50\n" not in page.text
    assert "no log at" in page.text
    assert "half" not in page.text
    assert len(page.all("img")) == 2


def test_an_empty_folder_makes_a_page_that_says_so(tmp_path):
    (tmp_path / "results").mkdir()
    page = Page(_build(tmp_path / "results", benchmarks=tmp_path / "none"))
    assert "No finished figure or table was found" in page.text
    assert "could not be finished" not in page.text


def test_report_refuses_a_missing_folder_and_an_unknown_kind(tmp_path, results):
    with pytest.raises(FileNotFoundError, match="results_dir must be a folder"):
        _build(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="kind must be 'simulated' or 'real', got 'fake'"):
        _build(results, kind="fake")


def test_what_ran_is_taken_from_benchmarks(results, tmp_path):
    folder = tmp_path / "benchmarks"
    (folder / "fit_encoder").mkdir(parents=True)
    for subject, seconds, memory in (("01", 70.0, 900.0), ("02", 20.0, "NA")):
        record = {"s": seconds, "h:m:s": "x", "max_rss": memory, "cpu_time": 9.0, "rule_name": "fit_encoder"}
        line = json.dumps({**record, "wildcards": {"subject": subject}})
        (folder / "fit_encoder" / f"{subject}.jsonl").write_text(line + '\n{"s": 3')
    (folder / "rsa.tsv").write_text("s\th:m:s\tmax_rss\tcpu_time\n10.0\t0:00:10\t-\t9\n3.0\t0")
    (folder / "foreign.tsv").write_text("a\tb\n1\t2\n")
    (folder / "empty.tsv").write_text("")
    jobs = read_benchmarks(folder)
    assert sorted(jobs["step"]) == ["fit_encoder", "fit_encoder", "rsa"]
    assert jobs["time"].sum() == 100
    assert set(jobs["job"]) == {"subject=01", "subject=02", "rsa"}
    text = " ".join(Page(_build(results, benchmarks=folder)).text.split())
    assert "after 1 min 40 s of work in 3 jobs" in text
    assert "fit_encoder2" + "1 min 30 s" + "1 min 10 s" + "900 MB" in text
    assert "rsa1" + "10 s" + "10 s" + "n/a" in text


def test_time_stamp_settings_and_commands_are_shown(results):
    page = Page(
        _build(
            results, kind="real", created=datetime(2030, 1, 2, 3, 4, tzinfo=UTC),
            details={"Configuration": {"seed": 0, "encoding": {"alphas": [1, 10]}}},
            next_steps=[("Go on with the real data.", "snakemake real")],
        )
    )  # fmt: skip
    assert "2030-01-02 03:04 UTC" in page.text
    assert "Recorded data" in page.text
    for part in ("encoding.alphas", "1, 10", "Go on with the real data.", "snakemake real"):
        assert part in page.text


def test_figure_files_are_reproducible_and_close(tmp_path):
    written = []
    for name in ("one.svg", "two.svg"):
        figure, ax = plt.subplots(figsize=(3, 2))
        ax.plot([0, 1], label="x")
        path = write_figure(ax, tmp_path / name, title="t", caption="c", provenance={"step": "s"})
        assert not plt.fignum_exists(figure.number)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    record = read_json(tmp_path / "one.figure.json")
    assert (record["width_px"], record["provenance"], record["alt"]) == (288, {"step": "s"}, "c")
    with pytest.raises(ValueError, match=r"suffix of path must be '.png' or '.svg', got '.jpg'"):
        write_figure(figure, tmp_path / "x.jpg", title="t", caption="c")


def test_tables_keep_their_numbers(tmp_path):
    table = pd.DataFrame({"a": [0.123456789]})
    path = write_report_table(table, tmp_path / "t.tsv", title="t")
    assert read_table(path)["a"][0] == 0.123456789
    with pytest.raises(ValueError, match="each key of units must be 'a', got 'b'"):
        write_report_table(table, tmp_path / "t.tsv", title="t", units={"b": "s"})
    with pytest.raises(ValueError, match=r"checks must have the columns.*without"):
        write_checks(table, tmp_path / "c.tsv")


def test_cells_are_formatted_by_column():
    split = "leave one run out, permuted within runs"
    table = pd.DataFrame(
        {
            "name": ["a", None],
            "n": [1200, 3],
            "r": [0.5, -0.25],
            "p": [0.0004, 0.04],
            "ok": [True, False],
            "s": split,
        }
    )
    shown = make_html_table(table, units={"r": "1"})
    assert [[cell.text for cell in row] for row in shown.rows] == [
        ["a", "1,200", "0.500", "< 0.001", "✓"],
        ["n/a", "3", "−0.250", "0.040", "✗"],
    ]
    assert shown.columns[2] == ("r", "1", "number")
    assert shown.shared == (("s", split),)
    # Sorting uses the numbers, not their text.
    assert [float(row[3].key) for row in shown.rows] == [0.0004, 0.04]


def test_long_tables_are_cut_and_say_so(results):
    table = pd.DataFrame({"index": np.arange(MAX_ROWS + 5)})
    write_report_table(table, results / "long.tsv", title="Long", caption="All of it.", section="Scores")
    text = Page(_build(results)).text
    assert f"The first {MAX_ROWS} of {MAX_ROWS + 5} rows; all are in" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.94321, "0.943"), (-0.004, "−0.004"), (3e-9, "3.0e−09"), (12345.6, "12,346"), (5.0, "5")],
)
def test_lone_numbers(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations(seconds, text):
    assert format_seconds(seconds) == text


def test_style_sheet_knows_dark_mode_and_small_screens(results):
    html = _build(results).read_text()
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    colours = re.findall(r"--(\w[\w-]*):", html.split("@media")[0])
    dark = re.findall(r"--(\w[\w-]*):", html.split("@media")[1].split("}")[0])
    assert sorted(colours) == sorted(dark)
