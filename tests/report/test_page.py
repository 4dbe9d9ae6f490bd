from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from report.made_page import run
from resemblance.explain.explanation import Explanation
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.reason import Reason
from resemblance.explain.reason_map import CellMap, ReasonMap
from resemblance.explain.rounding import NO_BREAK
from resemblance.explain.score_breakdown import ScoreBreakdown
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import GalleryItem, Picture
from resemblance.report.content import ReportFigure, RunReport, SplitResult
from resemblance.report.page import report_html, write_report
from toy_model import Distances, Nearest, Toy

HOSTILE = "<script>alert(1)</script>\"'&{{7777*7}}"
VOID = {"meta", "image", "use", "rect", "br", "img", "link", "i"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and fails on tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("kind", [Toy, Nearest, Distances])
def test_the_page_is_complete_and_loads_nothing(kind):
    text = report_html([run(kind)])
    page = Page(text)
    assert page.open == []
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object"}
    for _, attributes in page.tags:
        for key in ("src", "href", "xlink:href"):
            if key in attributes:
                assert attributes[key].startswith(("data:image/", "#")), attributes[key]
        assert not any(key.startswith("on") for key in attributes)
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text


def test_every_reference_has_its_target():
    page = Page(report_html([run(), run(Nearest, "other")]))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in [*page.all("a"), *page.all("use")]:
        assert attributes["href"].removeprefix("#") in ids


def test_pictures_have_descriptions():
    page = Page(report_html([run(figures=[ReportFigure("Loss", b"png", "Loss by epoch")])]))
    pictures = [attributes for attributes in page.all("svg") if "role" in attributes]
    assert len(pictures) > 10
    assert all(attributes["aria-label"] for attributes in pictures)
    assert [attributes["alt"] for attributes in page.all("img")] == ["Loss by epoch"]
    assert all("scope" in attributes for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_tables_add_up_as_printed():
    page = report_html([run()])
    tables = re.findall(r'<table class="sum">(.*?)</table>', page, re.S)
    assert len(tables) == 4
    for table in tables:
        numbers = [
            cells[-1]
            for row in table.split("<tr")[2:]
            if (cells := re.findall(r'<td class="n">(.*?)</td>', row))
        ]
        values = [float(number.replace("−", "-")) for number in numbers]
        assert sum(values[:-1]) == pytest.approx(values[-1], abs=1e-9)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        (HOSTILE, HOSTILE),
        (
            "a\x07\x1b[31m\x7f\x9b\u2028\u202e\u2066\udcff\x00",
            r"a\x07\x1b[31m\x7f\x9b\u2028\u202e\u2066\udcff\x00",
        ),
        ("می\u200cخ", "می\u200cخ"),
    ],
)
def test_hostile_names_stay_text(hostile, shown):
    view = PrototypeView(0, (hostile,), GalleryItem("none", hostile), activations=0)
    reason = Reason(view, 1.0, 1.0, 1.0)
    explanation = Explanation(
        hostile,
        np.zeros((8, 8, 3), np.uint8),
        "toy",
        (hostile, "b"),
        np.array([1.0, 0.0], np.float32),
        None,
        "logit",
        "contribution",
        0,
        (ScoreBreakdown(0, hostile, 1.0, (reason,)),),
        label=1,
        counter=reason,
        counter_class=1,
    )
    report = RunReport(
        hostile,
        hostile,
        (hostile, "b"),
        *[hostile] * 4,
        results=[SplitResult(hostile, np.array([[1, 2], [3, 4]]))],
        prototypes=[view],
        explanations=[explanation],
        facts={hostile: hostile},
        notes=[hostile],
        configuration=hostile,
        figures=[ReportFigure(hostile, b"", hostile, hostile)],
    )
    for text in (report_html([report, report], hostile), explanation._repr_html_()):
        page = Page(text)
        assert page.open == []
        assert not page.all("script")
        assert "54439" not in "".join(page.text).replace("{{7777*7}}", "")
        assert shown in "".join(page.text)
        assert printable(text, lines=True) == text
        text.encode()


def test_unused_prototypes_and_lost_accuracy_are_reported():
    text = " ".join(run().warnings)
    disagree = "For 7 % of the test images, the model and the black box predict different classes"
    assert disagree in text.replace(NO_BREAK, " ")
    assert "1 of 6 prototypes is unused" in text
    assert "7.0 percentage points of accuracy are lost" in text
    page = "".join(Page(report_html([run()])).text)
    assert "1 of 6 prototypes is unused" in page
    assert "7.0 percentage points of accuracy are lost" in page
    assert "Both predict the same class for 93.0 % of the test images." in page.replace(NO_BREAK, " ")
    assert "GapAgreement" in page
    assert "93.0\xa0%" in page
    assert "1 (cat)." in page  # the unused one is named


def test_duplicates_and_classes_without_prototypes_are_reported():
    source = Picture.from_pixels(np.zeros((8, 8, 3), np.uint8))
    views = [PrototypeView(i, ("a",), GalleryItem("training image", "x", None, source)) for i in range(2)]
    warnings = " ".join(RunReport("r", "m", ("a", "b"), prototypes=views).warnings)
    assert "2 prototypes show only 1 different picture:" in warnings
    assert "No prototype belongs to b" in warnings


def test_runs_side_by_side():
    text = "".join(Page(report_html([run(), run(Nearest, "second")])).text)
    assert "Side by side" in text
    assert "−7.0" not in text
    assert "+7.0" in text


def test_a_black_box_has_a_page_too():
    report = RunReport("b", "blackbox", ("a", "b"), results=[SplitResult("test", np.array([[1, 0], [0, 1]]))])
    text = "".join(Page(report_html([report])).text)
    assert "100.0" in text
    assert "Prototypes" not in text


def test_many_classes():
    classes = tuple(f"class {i}" for i in range(40))
    confusion = np.eye(40, dtype=int) * 5
    confusion[3, 4] = 2
    page = Page(report_html([RunReport("r", "m", classes, results=[SplitResult("test", confusion)])]))
    assert len(page.all("img")) == 1
    assert "class 3" in "".join(page.text)


@pytest.mark.slow
def test_2000_prototypes_and_50_images_stay_under_15_mb(tmp_path):
    # Noise compresses worst. Only the sources that explanations show are embedded, each of them once.
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    shared = [Picture.from_pixels(np.roll(noise, 31 * i, axis=0)) for i in range(8)]

    def source(i):
        return Picture.from_pixels(np.roll(noise, i, axis=1)) if i % 40 < 10 else shared[i % 8]

    classes = tuple(f"class {i}" for i in range(200))
    views = [
        PrototypeView(
            i,
            (classes[i // 10],),
            GalleryItem("training image", f"{i}.jpg", (i % 99, 60, 170, 130), source(i)),
        )
        for i in range(2000)
    ]
    found = ReasonMap(CellMap(torch.rand(7, 7), (224, 224), (9, 9, 99, 99)))
    explanations = []
    for i in range(50):
        reasons = tuple(Reason(views[40 * i + k], 1.0, 1.0, 1.0, found) for k in range(10))
        breakdown = ScoreBreakdown(0, classes[0], 10.0, reasons, 1990)
        explanations.append(
            Explanation(
                f"{i}.jpg",
                np.roll(noise, 3 * i, axis=0),
                "protopnet",
                classes,
                np.zeros(200, np.float32),
                None,
                "logit",
                "contribution",
                0,
                (breakdown,),
                1,
                reasons[0],
                1,
            )
        )
    report = RunReport("r", "protopnet", classes, prototypes=views, explanations=explanations)
    path = write_report(tmp_path / "new" / "report.html", [report])
    assert path.stat().st_size < 15e6


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium")
@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_overflows_in_a_browser(tmp_path, width):
    inner = report_html([run(), run(Nearest, "second")]).replace("default-src 'none'; ", "")
    probe = (
        "<script>parent.postMessage(`${document.documentElement.scrollWidth} of ${innerWidth}`, '*')</script>"
    )
    (tmp_path / "inner.html").write_text(inner.replace("</body>", probe + "</body>"), encoding="utf-8")
    show = "<body><script>onmessage = event => document.body.append(event.data)</script>"
    frame = f"{show}<iframe src=inner.html style='width:{width}px;height:900px'></iframe>"
    (tmp_path / "outer.html").write_text(frame, encoding="utf-8")
    quiet = ["background-networking", "component-update", "sync", "gpu"]
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--no-first-run",
        *(f"--disable-{name}" for name in quiet),
    ]
    command += [
        f"--user-data-dir={tmp_path}/profile",
        "--window-size=1400,1000",
        "--virtual-time-budget=5000",
    ]
    command += ["--dump-dom", f"file://{tmp_path}/outer.html"]
    measured = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
    wide, visible = map(int, re.search(r"(\d+) of (\d+)", measured).groups())
    assert wide <= visible
