"""The first screen of a page answers the questions of its readers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from report.made_page import run
from resemblance.explain.familiarity.familiarity import Familiarity
from resemblance.report.audit.audit_summary import AuditSummary
from resemblance.report.beside import fill_in_black_box
from resemblance.report.content import RunReport, SplitResult
from resemblance.report.glance.at_a_glance import at_a_glance
from resemblance.report.glance.same_images import grouped, same_images
from resemblance.report.glance.which_is_better import which_is_better
from resemblance.report.page import report_html

CLASSES = ("effusion", "healthy", "mass")
CONFUSION = np.array([[70, 10, 20], [0, 100, 0], [5, 5, 90]])


def answers(report: RunReport) -> dict[str, str]:
    return {one.topic: one.text.replace("\N{NO-BREAK SPACE}", " ") for one in at_a_glance(report)}


def report(**options) -> RunReport:
    validation = SplitResult("validation", np.diag([40, 40, 40]))
    test = SplitResult("test", CONFUSION, black_box=0.92)
    return RunReport("xray", "kmex", CLASSES, results=[validation, test], **options)


def first_screen(html: str) -> str:
    """Return the text before the first explanation, prototype or table of figures."""
    body = html[html.index("<main") :]
    start = body.index('<dl class="glance">')
    ends = [body.find(mark, start) for mark in ("-explanations", "-prototypes", "-accuracy")]
    text = re.sub("<[^>]*>", " ", body[: min(end for end in ends if end > 0)])
    return re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " "))


def test_the_physician_learns_how_often_an_answer_is_wrong():
    said = answers(report())["May I trust an answer?"]
    assert said.startswith("An answer is wrong in 13.3 % of the test images.")
    assert 'Least to be trusted is "mass": 18.2 % of these answers are wrong.' in said
    assert "May I trust an answer? An answer is wrong in" in first_screen(report_html([report()]))


def test_the_researcher_learns_which_explains_better():
    better, worse = run(name="better"), run(name="worse")
    worse.results = [SplitResult("test", np.array([[5, 5, 0], [5, 5, 0], [0, 0, 10]]))]
    screen = first_screen(report_html([worse, better]))
    assert "Which is more accurate? better: 90.0 %; worse: 66.7 % of the test images." in screen
    assert "Which explains more of its score?" in screen


def test_the_auditor_learns_whether_the_folder_does_what_it_says():
    assert "Not audited yet" in answers(report())["Does the folder do what it says?"]
    claims = [("config.json claims 99 %, but measured: 87 %", True), ("prototypes: 6", False)]
    audited = report(
        audit=AuditSummary("audit.html", [("Provenance", "failed"), ("Nonsense", "passed")], claims)
    )
    said = answers(audited)["Does the folder do what it says?"]
    assert "1 of 2 differ (config.json claims 99 %, but measured: 87 %)" in said
    assert "It failed: Provenance." in said
    assert "It passed: Nonsense." in said
    assert said in first_screen(report_html([audited]))
    levels = {one.topic: one.level for one in at_a_glance(audited)}
    assert levels["Does the folder do what it says?"] == "doubt"


def test_the_worst_class_and_its_most_frequent_mistake_are_named():
    said = answers(report())["Where it is weak"]
    assert said == "It recognises 70.0 % of the 100 images of effusion; it takes 20.0 % of them for mass."


def test_a_validation_accuracy_that_the_test_images_do_not_confirm_is_noticed():
    said = answers(report())["How good it is"]
    assert "100.0 %: more than chance explains" in said
    alike = report()
    alike.results[0] = SplitResult("validation", CONFUSION)
    assert "chance" not in answers(alike)["How good it is"]


def test_classes_with_few_images_are_not_judged():
    few = RunReport("r", "kmex", ("a", "b"), results=[SplitResult("test", np.array([[1, 2], [0, 97]]))])
    said = answers(few)
    assert "1 of 2 classes have fewer than 20 test images, too few to judge: a." in said["Where it is weak"]
    assert "most frequent class" not in said["How good it is"]
    useless = RunReport("r", "kmex", ("a", "b"), results=[SplitResult("test", np.array([[0, 30], [0, 70]]))])
    assert (
        "Always answering the most frequent class is right on 70.0 %." in answers(useless)["How good it is"]
    )


def test_what_explanations_cost():
    assert "explanations cost 5.3 percentage points" in answers(report())["What explanations cost"]
    free = RunReport("r", "kmex", ("a", "b"), results=[SplitResult("test", np.diag([9, 9]), black_box=1.0)])
    assert answers(free)["What explanations cost"].startswith("As accurate")


def test_a_black_box_on_the_page_fills_in_the_gap():
    black_box, other, elsewhere = run(name="box"), run(name="other"), run(name="elsewhere")
    black_box.method = "blackbox"
    for page in (black_box, other, elsewhere):
        page.results = [SplitResult("test", np.diag([5, 5, 5]))]
    elsewhere.data = "other images"
    fill_in_black_box([black_box, other, elsewhere])
    assert [page.results[0].gap for page in (black_box, other, elsewhere)] == [None, 0.0, None]


def test_the_same_images_stand_side_by_side():
    first, second = run(name="first"), run(name="second")
    assert same_images([first, second]) == []  # all images of the toy have the same name
    for page in (first, second):
        page.explanations = [replace(one, name=f"image {i}") for i, one in enumerate(page.explanations)]
    second.explanations = second.explanations[1:]
    rows = same_images([first, second])
    assert [row.name for row in rows] == [one.name for one in second.explanations]
    assert all(one is not None and one.name == row.name for row in rows for one in row.explanations)
    assert which_is_better([first]) == []


def test_right_images_come_before_wrong_ones():
    page = run()
    groups = dict(grouped(page.explanations))
    assert sum(map(len, groups.values())) == len(page.explanations)
    assert all(one.correct for one in groups.get("Correctly classified images", []))
    assert all(one.correct is False for one in groups.get("Misclassified images", []))


def test_calibration_is_said_in_words():
    test = SplitResult("test", CONFUSION, sure=(200, 190))
    said = answers(RunReport("xray", "kmex", CLASSES, results=[test]))["May I trust an answer?"]
    assert (
        "Where the model is sure (a probability of 90 % or more: 66.7 % of the images), 5.0 % are wrong."
        in said
    )


def test_strange_images_have_a_group_of_their_own():
    page = run()
    known = [
        replace(
            one, label=one.prediction, familiarity=Familiarity(value, 0, 100, low=0.2, high=0.9, least=0.1)
        )
        for one, value in zip(page.explanations, (0.15, 0.5, 0.5, 0.2), strict=True)
    ]
    groups = dict(grouped(known))
    assert groups["Images that resemble least what the model knows"] == known[:1]
    assert groups["Correctly classified images"] == known[1:]


def test_columns_without_any_number_are_left_out():
    pages = [run(name="first"), run(name="second")]
    for page in pages:
        page.results = [SplitResult("test (altered)", CONFUSION)]
    text = report_html(pages)
    start = text.index("The runs side by side")
    assert "Black box" not in text[start : text.index("</table>", start)]
    assert "% of the test (altered) images." in first_screen(text)
    pages[0].results = [SplitResult("test (altered)", CONFUSION, black_box=0.9)]
    text = report_html(pages)
    start = text.index("The runs side by side")
    assert "Black box" in text[start : text.index("</table>", start)]
    assert "Agreement" not in text[start : text.index("</table>", start)]


def test_a_page_of_single_explanations_says_nothing_of_the_folder():
    page = run()
    page.results = []
    assert "Does the folder do what it says?" not in answers(page)
