"""The registry and the check of a name that the config asks for."""

import pytest

from lamm.engine.embedded.registry import Registry, check_availability
from lamm.errors import LammError


class CoOp:
    pass


class MaPLe:
    pass


@pytest.fixture
def registry() -> Registry:
    made = Registry("TRAINER")
    made.register(CoOp)
    return made


def test_decorator_registers_and_returns_the_class_unchanged(registry):
    assert registry.register()(MaPLe) is MaPLe
    assert registry.get("MaPLe") is MaPLe


def test_call_with_an_object_registers_it_and_returns_none(registry):
    assert registry.register(MaPLe) is None
    assert registry.get("MaPLe") is MaPLe


def test_names_come_in_order_of_registration(registry):
    registry.register(MaPLe)
    registry.register(type("A", (), {}))
    assert registry.registered_names() == ["CoOp", "MaPLe", "A"]


def test_second_registration_of_a_name_is_refused(registry):
    with pytest.raises(KeyError) as error:
        registry.register(type("CoOp", (), {}))
    assert error.value.args == ('An object named "CoOp" was already registered in "TRAINER" registry',)
    assert registry.get("CoOp") is CoOp


def test_force_replaces_silently(registry):
    other = type("CoOp", (), {})
    registry.register(other, force=True)
    assert registry.get("CoOp") is other


def test_unknown_name_is_a_key_error(registry):
    with pytest.raises(KeyError) as error:
        registry.get("LAMM")
    assert error.value.args == ('Object name "LAMM" does not exist in "TRAINER" registry',)


def test_available_name_passes():
    check_availability("CoOp", ["CoOp", "MaPLe"])


def test_unavailable_name_is_a_value_error_and_a_user_error_with_the_nearest_name():
    with pytest.raises(ValueError) as error:
        check_availability("MaPl", ["CoOp", "MaPLe"])
    assert isinstance(error.value, LammError)
    assert str(error.value) == (
        "The requested one is expected to belong to ['CoOp', 'MaPLe'], but got [MaPl] (do you mean [MaPLe]?)"
    )


def test_of_equally_near_names_the_later_is_suggested():
    with pytest.raises(ValueError, match=r"do you mean \[xb\]"):
        check_availability("x", ["xa", "xb"])


def test_nothing_registered_is_still_one_line():
    with pytest.raises(ValueError, match=r"belong to \[\], but got \[CoOp\]"):
        check_availability("CoOp", [])
