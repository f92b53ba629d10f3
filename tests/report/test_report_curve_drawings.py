"""Drawings of the few-shot curves: names that fit, and ids of their own."""

import re

import pytest

from lamm.report.drawings import LONGEST_NAME, Drawing, curve_drawings, fitting_names, inline, shared_remark
from lamm.report.tables import means
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


def test_text_that_looks_like_an_attribute_stays_as_it_is() -> None:
    said = 'id="q" url(#q) href="#q" x="1.23456" xlink:href="q"'
    svg = f'<svg><g id="q"><text x="1">{said}</text></g></svg>'
    assert inline(svg, "p", "l") == (f'<svg role="img" aria-label="l"><g id="p-q"><text x="1">{said}</text></g></svg>')


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
