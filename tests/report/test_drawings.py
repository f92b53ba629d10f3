"""Drawings: few-shot curves with names that fit, the movement of the labels, and SVG inside a page."""

import re

import numpy as np
import pytest
import torch

from lamm.report.drawings import (
    LONGEST_NAME,
    Drawing,
    curve_drawings,
    fitting_names,
    inline,
    label_movement,
    project,
    shared_remark,
)
from lamm.report.tables import means
from lamm.results.run_files import ClassFeatures
from tests.report.report_runs import RunTree


def drawings_of(tree: RunTree) -> list[Drawing]:
    material = tree.material()
    return curve_drawings(material, means(material))


def test_a_remark_that_all_share_is_said_once() -> None:
    assert shared_remark(["LAMM (A=1, B=2)", "CoOp (A=1, B=2)"]) == " (A=1, B=2)"
    assert shared_remark(["LAMM (A=1)", "CoOp"]) == ""
    assert shared_remark(["LAMM", "CoOp"]) == ""


def test_long_names_are_shortened_and_stay_different() -> None:
    labels = ["LAMM", f"LAMM ({'A' * 40}=1)", f"LAMM ({'A' * 40}=2)"]
    names = fitting_names(labels)
    assert names["LAMM"] == "LAMM"
    assert len(set(names.values())) == 3
    assert max(map(len, names.values())) <= LONGEST_NAME + 2


@pytest.mark.filterwarnings("error")
def test_drawings_share_no_id(demo: RunTree) -> None:
    demo.run(cfg="tiny_ep50+" + "LAMBDA_WC=0.123456+" * 6)
    drawings = drawings_of(demo)
    assert [drawing.title for drawing in drawings] == ["mean of digits, shapes", "digits", "shapes"]
    ids = [found for drawing in drawings for found in re.findall(r'\bid="([^"]+)"', drawing.svg)]
    assert len(ids) == len(set(ids)) > 20
    used = {found for drawing in drawings for found in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', drawing.svg)}
    assert {one or other for one, other in used} <= set(ids)


def test_text_in_a_drawing_is_text(demo: RunTree) -> None:
    drawing = drawings_of(demo)[0]
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", drawing.svg)
    assert {"CoOp", "LAMM", "ZeroshotCLIP", "mean of digits, shapes"} <= set(texts)
    assert 'role="img"' in drawing.svg
    assert not re.search(r"<svg[^>]* (width|height)=", drawing.svg)


def test_places_are_rounded_and_names_are_not() -> None:
    svg = (
        '<svg><style>*{}</style><path d="M 1.23456 -0.5 \nL 10.999 2 \n"/><text x="1.2345" y="2">v1.23456</text></svg>'
    )
    assert inline(svg, "p", "l") == (
        '<svg role="img" aria-label="l"><path d="M 1.23 -0.5 L 10.99 2 "/><text x="1.23" y="2">v1.23456</text></svg>'
    )


def test_tooltips_go_to_their_artist() -> None:
    svg = (
        '<?xml version="1.0"?><svg width="3pt" viewBox="0 0 1 1"><g id="a"><use xlink:href="#b"/></g><g id="b"/></svg>'
    )
    assert inline(svg, "p", "l", {"a": "1 < 2"}) == (
        '<svg viewBox="0 0 1 1" role="img" aria-label="l"><g id="p-a"><title>1 &lt; 2</title><use href="#p-b"/></g>'
        '<g id="p-b"/></svg>'
    )


def test_a_method_has_one_colour_in_all_drawings(demo: RunTree) -> None:
    demo.run(trainer="Another", dataset="shapes")
    colours = [
        re.search(r'fill: (#\w+)[^<>]*>LAMM<|fill="(#\w+)"[^<>]*>LAMM<', drawing.svg) for drawing in drawings_of(demo)
    ]
    assert all(colours)
    assert len({found[0].partition(">")[0] for found in colours if found}) == 1


def test_the_projection_keeps_distances_of_what_is_flat() -> None:
    plane = torch.linalg.qr(torch.randn(16, 2, generator=torch.Generator().manual_seed(0)))[0].numpy()
    flat = np.random.default_rng(0).normal(size=(10, 2))
    original, learned, variance = project(flat[:5] @ plane.T, flat[5:] @ plane.T)
    placed = np.concatenate([original, learned])
    between = np.linalg.norm(placed[:, None] - placed[None], axis=2)
    assert between == pytest.approx(np.linalg.norm(flat[:, None] - flat[None], axis=2), abs=1e-6)
    assert variance == pytest.approx(1.0)


def test_features_that_are_all_alike_can_be_projected() -> None:
    original, learned, variance = project(np.ones((3, 4)), np.ones((3, 4)))
    assert not original.any()
    assert not learned.any()
    assert variance == 1.0


def test_the_drawing_names_the_classes_that_moved_most() -> None:
    angles = torch.tensor([0.0, 0.1, 0.9, 0.4])
    original = torch.tensor([1.0, 0.0]).repeat(4, 1)
    learned = torch.stack([angles.cos(), angles.sin()], dim=1)
    names = ["still", 'a "<b>&', "far", "near"]
    movement = label_movement(ClassFeatures(names, learned, original), "p7")
    assert [name for name, _ in movement["farthest"]] == ["far", "near", 'a "<b>&', "still"]
    assert [distance for _, distance in movement["farthest"]] == pytest.approx(
        [1 - np.cos(x) for x in (0.9, 0.4, 0.1, 0)], abs=1e-6
    )
    assert movement["mean"] == pytest.approx(np.mean(1 - np.cos(angles.numpy())))
    assert "<title>far: moved by 0.378</title>" in movement["svg"]  # 1 − cos 0.9
    assert "<b>" not in movement["svg"]
    assert 'id="p7-' in movement["svg"]


def test_of_thousands_of_classes_few_are_drawn() -> None:
    features = torch.nn.functional.normalize(torch.randn(3000, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    movement = label_movement(ClassFeatures([f"c{n}" for n in range(3000)], features, features.roll(1, 0)), "p")
    assert (movement["classes"], movement["drawn"]) == (3000, 60)
    assert len(movement["svg"]) < 100_000


@pytest.mark.filterwarnings("error")
def test_names_outside_latin_are_drawn_without_warnings() -> None:
    features = torch.nn.functional.normalize(torch.eye(2, 8) + 0.2, dim=1)
    movement = label_movement(ClassFeatures(["红苹果", "🍎"], features.roll(1, 0), features), "p")
    assert {"红苹果", "🍎"} <= {*re.findall(r"<text[^>]*>([^<]+)</text>", movement["svg"])}
    assert "sans-serif" in movement["svg"]
