"""Registries and the names that a config asks for; what a registered data set is: images, labels, few-shot draws."""

import random
import sys

import pytest

from lamm.engine.embedded.datum import DatasetBase, Datum
from lamm.engine.embedded.registry import Later, Registry, check_availability
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


def test_both_forms_register_the_class_under_its_name(registry):
    assert registry.register()(MaPLe) is MaPLe
    assert registry.get("MaPLe") is MaPLe
    assert registry.register(type("A", (), {})) is None
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


def test_only_an_available_name_passes_any_other_is_a_value_error_and_a_user_error_with_the_nearest_name():
    check_availability("CoOp", ["CoOp", "MaPLe"])
    with pytest.raises(ValueError) as error:
        check_availability("MaPl", ["CoOp", "MaPLe"])
    assert isinstance(error.value, LammError)
    assert str(error.value) == (
        "The requested one is expected to belong to ['CoOp', 'MaPLe'], but got [MaPl] (do you mean [MaPLe]?)"
    )


def test_the_hint_is_the_later_of_equally_near_names_and_none_without_names():
    with pytest.raises(ValueError, match=r"do you mean \[xb\]"):
        check_availability("x", ["xa", "xb"])
    with pytest.raises(ValueError, match=r"belong to \[\], but got \[CoOp\]"):
        check_availability("CoOp", [])


@pytest.fixture
def make(tmp_path):
    """Builds items from labels; item i has the image `<i>.jpg` (empty) and the class name `class <label>`."""

    def build(labels, domain=0) -> list[Datum]:
        items = []
        for number, label in enumerate(labels):
            path = tmp_path / f"{number}.jpg"
            path.touch()
            items.append(Datum(str(path), label, domain, f"class {label}"))
        return items

    return build


def test_datum_is_read_only(make):
    item = make([3])[0]
    assert (item.label, item.domain, item.classname) == (3, 0, "class 3")
    with pytest.raises(AttributeError):
        item.label = 4


def test_datum_keeps_the_field_names_of_upstreams_pickles(make):
    assert set(vars(make([0])[0])) == {"_impath", "_label", "_domain", "_classname"}


def test_missing_image_is_an_assertion_error_and_a_user_error_with_the_path(tmp_path):
    path = str(tmp_path / "no.jpg")
    with pytest.raises(AssertionError) as error:
        Datum(path)
    assert isinstance(error.value, LammError)
    assert f'"{path}" does not exist' in str(error.value)


def test_path_object_is_refused(tmp_path):
    with pytest.raises(AssertionError, match="has to be a str"):
        Datum(tmp_path)


def test_class_names_come_from_train_x_in_label_order(make):
    data = DatasetBase(train_x=make([2, 0, 2]), test=make([0, 1, 2, 5]))
    assert data.num_classes == 3
    assert data.lab2cname == {0: "class 0", 2: "class 2"}
    assert data.classnames == ["class 0", "class 2"]
    assert (data.train_u, data.val, len(data.test)) == (None, None, 4)


def test_no_training_images_is_a_value_error_and_none_a_type_error():
    with pytest.raises(ValueError, match="no training image") as error:
        DatasetBase(train_x=[])
    assert isinstance(error.value, LammError)
    with pytest.raises(TypeError, match="train_x"):
        DatasetBase()


@pytest.fixture
def data(make):
    return DatasetBase(train_x=make([0]))


def test_no_shots_returns_the_lists_themselves(data, make):
    first, second = make([0, 1]), make([1])
    assert data.generate_fewshot_dataset(first) is first
    assert data.generate_fewshot_dataset(first, second, num_shots=0) == (first, second)


def test_shots_are_drawn_by_the_global_generator_class_by_class(data, make, capsys):
    train, val = make([1] * 6 + [0] * 6), make([0] * 5 + [1] * 5)
    random.seed(7)
    drawn = data.generate_fewshot_dataset(train, val, num_shots=3)
    reference = random.Random(7)
    expected = [
        reference.sample(train[:6], 3) + reference.sample(train[6:], 3),
        reference.sample(val[:5], 3) + reference.sample(val[5:], 3),
    ]
    assert drawn == expected
    assert capsys.readouterr().out == "Creating a 3-shot dataset\n"


def test_class_with_too_few_images_gives_all_and_draws_nothing(data, make):
    items = make([0, 0])
    random.seed(1)
    assert data.generate_fewshot_dataset(items, num_shots=4) == items
    assert random.getstate() == random.Random(1).getstate()


def test_repeat_fills_a_small_class_with_replacement(data, make):
    items = make([0, 0])
    random.seed(1)
    drawn = data.generate_fewshot_dataset(items, num_shots=4, repeat=True)
    assert drawn == random.Random(1).choices(items, k=4)


def test_split_by_label_and_by_domain_keep_first_seen_order(data, make):
    items = make([1, 0, 1])
    by_label = data.split_dataset_by_label(items)
    assert list(by_label) == [1, 0]
    assert by_label[1] == [items[0], items[2]]
    assert dict(data.split_dataset_by_domain(items)) == {0: items}


def test_domains_are_checked(data):
    data.domains = ["photo", "sketch"]
    data.check_input_domains(["photo"], ["sketch"])
    with pytest.raises(ValueError, match=r"belong to \['photo', 'sketch'\], but got \[art\]"):
        data.check_input_domains(["photo"], ["art"])
    with pytest.raises(AssertionError, match="SOURCE_DOMAINS is empty"):
        data.check_input_domains([], ["photo"])


def test_what_stands_for_a_class_tells_its_traits_before_the_class_is_imported(tmp_path, monkeypatch):
    (tmp_path / "late_trainer.py").write_text("class Late:\n    shots, epochs = 1, 50\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("TRAINER")
    registry.offer(Later("late_trainer", "Late", {"shots": 1}))
    outline = registry.outline("Late")
    assert (outline.shots, vars(outline)["shots"], outline.__name__) == (1, 1, "Late")
    assert "late_trainer" not in sys.modules
    assert getattr(outline, "rate", None) is None  # asks the class, which has none
    assert outline.epochs == 50
    assert registry.outline("Late") is registry.get("Late") is sys.modules["late_trainer"].Late
    with pytest.raises(KeyError, match='"Later" does not exist'):
        registry.outline("Later")
