"""Pictures drawn by code: valid whatever is drawn, and the same for the same seed."""

from collections import Counter

import numpy as np
import pytest

from lamm.datasets.demo import NICKNAMES
from lamm.drawing.compositions import (
    HELD_OUT,
    PALETTE,
    SIZE,
    STYLES,
    colour_apart,
    compose,
    contrast,
    draw_composition,
    jittered,
)
from lamm.drawing.glyphs import draw_glyph
from lamm.drawing.shapes import OUTLINES, TEXTURES, draw_mask, draw_texture


@pytest.mark.parametrize("style", STYLES)
def test_every_shape_texture_and_style_is_a_picture(style):
    pairs = max(len(OUTLINES), len(TEXTURES))
    shapes, textures = ((list(names) * 2)[:pairs] for names in (OUTLINES, TEXTURES))
    for seed, (shape, texture) in enumerate(zip(shapes, textures, strict=True)):
        picture = draw_composition(shape, texture, np.random.RandomState(seed), style)
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 0


@pytest.mark.parametrize("style", STYLES)
def test_the_seed_decides_the_picture(style):
    first, same, other = (
        draw_composition("star", "speckled", np.random.RandomState(seed), style) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_inverting_twice_gives_the_plain_picture_back():
    plain, inverted = (
        draw_composition("moon", "wavy", np.random.RandomState(3), style) for style in ("plain", "inverted")
    )
    assert np.array_equal(255 - inverted, plain)


def test_a_sketch_has_no_colour():
    picture = draw_composition("house", "striped", np.random.RandomState(3), "sketch")
    assert np.array_equal(picture[:, :, 0], picture[:, :, 1])
    assert np.array_equal(picture[:, :, 0], picture[:, :, 2])


def test_words_tell_what_is_drawn():
    drawn = [compose("heart", "dotted", np.random.RandomState(seed)) for seed in range(60)]
    assert {(one.shape, one.texture) for one in drawn} == {("heart", "dotted")}
    assert {one.size for one in drawn} == {"small", "", "large"}
    assert {one.colour for one in drawn} <= {*PALETTE, ""}
    assert all(bool(one.colour) == bool(one.ground) for one in drawn)


@pytest.mark.parametrize("shape", OUTLINES)
def test_a_mask_is_the_filled_outline(shape):
    """Its sum is the polygon's area (shoelace formula), in pixels."""
    scale = 0.8
    x, y = (OUTLINES[shape]() * scale * SIZE / 2).T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    mask = draw_mask(shape, SIZE, 0.0, scale, (0.0, 0.0))
    assert mask.shape == (SIZE, SIZE)
    assert 0 <= mask.min() < mask.max() <= 1
    assert mask.sum() == pytest.approx(area, rel=0.12)


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_texture_is_a_share_between_0_and_1(texture):
    tone = draw_texture(texture, SIZE, 12.0, (0.1, -0.2), np.random.RandomState(0))
    assert tone.shape == (SIZE, SIZE)
    assert 0 <= tone.min() <= tone.max() <= 1
    assert (tone.std() > 0.05) == (texture != "solid")


@pytest.mark.parametrize("character", "0gZ")
def test_a_glyph_is_coverage_that_the_seed_decides(character):
    pytest.importorskip("matplotlib")
    first, same = (draw_glyph(character, np.random.RandomState(5)) for _ in range(2))
    assert first.shape == (64, 64)
    assert 0 <= first.min() < first.max() <= 1
    assert np.array_equal(first, same)


def test_colours_that_lie_apart_are_found():
    rng = np.random.RandomState(0)
    for name in PALETTE:
        other = jittered(name, rng)
        found, colour = colour_apart([other], rng)
        assert found in PALETTE
        assert contrast(colour, other) >= 110


def test_enough_compositions_are_held_out_and_each_shape_has_several():
    assert len(HELD_OUT) == len(set(HELD_OUT)) >= 30
    assert min(Counter(shape for shape, _ in HELD_OUT).values()) >= 3
    assert {shape for shape, _ in HELD_OUT} <= set(OUTLINES)
    assert {texture for _, texture in HELD_OUT} <= set(TEXTURES) & set(NICKNAMES)


def test_every_shape_and_every_texture_is_left_in_the_training():
    """A composition can be held out only if both its words are learned from others."""
    kept = {(shape, texture) for shape in OUTLINES for texture in TEXTURES} - set(HELD_OUT)
    assert {shape for shape, _ in kept} == set(OUTLINES)
    assert {texture for _, texture in kept} == set(TEXTURES)
