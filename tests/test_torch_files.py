"""Files of torch are read as torch reads them, and a hostile one runs nothing, asks for nothing and hangs nothing."""

import collections
import io
import pickle
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from lamm.torch_files import TorchFileError, read_jit_weights, read_torch_file
from tests.clip.small_clip_models import RESNET, VIT, clip_package_model, save_jit_archive

pytestmark = pytest.mark.filterwarnings("ignore")


class Layers(nn.Module):
    """Modules and tensors that are shared, and tensors that are neither parameters nor buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.again = self.first
        self.tied = self.first[0].weight
        self.mask, self.list, self.table = torch.zeros(3), [torch.ones(1)], {"a": torch.ones(1)}
        self.register_buffer("scale", torch.ones(1).half())

    def forward(self, x):
        rest = self.mask.sum() + self.list[0] + self.table["a"] + self.scale
        return self.again(self.first(x) @ self.tied) + rest


def write_archive(kind: str, path: Path) -> Path:
    if kind == "scripted":
        torch.jit.script(Layers().eval()).save(str(path))
        return path
    return save_jit_archive(clip_package_model({"vit": VIT, "resnet": RESNET}[kind]), path)


@pytest.mark.parametrize("kind", ["scripted", "resnet"])
def test_a_jit_archive_gives_the_state_dict_of_torch(kind: str, tmp_path: Path) -> None:
    path = write_archive(kind, tmp_path / "model.pt")
    expected, weights = torch.jit.load(path, map_location="cpu").state_dict(), read_jit_weights(path)
    assert list(weights) == list(expected)
    for name, tensor in expected.items():
        assert (weights[name].dtype, weights[name].stride()) == (tensor.dtype, tensor.stride())
        assert torch.equal(weights[name], tensor)


class Greedy(nn.Module):
    """Writes a file when torch loads it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.weight, self.path = nn.Parameter(torch.ones(2)), path

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]):
        self.weight, self.path, self.training = state[0], state[1], state[2]
        torch.save(state[0], state[1])

    def forward(self, x):
        return x * self.weight


def test_the_program_in_a_jit_archive_does_not_run(tmp_path: Path) -> None:
    torch.jit.script(Greedy(str(tmp_path / "written"))).save(str(tmp_path / "model.pt"))
    assert read_jit_weights(tmp_path / "model.pt") == {}
    assert not (tmp_path / "written").exists()
    torch.jit.load(tmp_path / "model.pt")
    assert (tmp_path / "written").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_save_gives_what_torch_load_gives(zipped: bool, tmp_path: Path) -> None:
    rows = torch.arange(12.0).view(3, 4)
    content = {
        "state_dict": nn.Linear(3, 2).state_dict(), "parameter": nn.Parameter(rows), "part": rows[1:, ::2],
        "turned": rows.t(),
        "expanded": torch.ones(1).expand(4, 5), "none": torch.empty(0, 3), "half": rows.half(), "is": rows > 3,
        "wave": torch.tensor([1j]), "bfloat": rows.bfloat16(),
        "values": [1, 2.5, None, True, (1, 10**50), {3, 4}, b"abc", "é", 1 + 2j, torch.float16, torch.Size([1])],
    }  # fmt: skip
    torch.save(content, tmp_path / "file", _use_new_zipfile_serialization=zipped)
    copy, expected = read_torch_file(tmp_path / "file"), torch.load(tmp_path / "file", weights_only=True)
    assert copy["values"] == expected["values"]
    assert list(copy["state_dict"]) == ["weight", "bias"]
    for name in content.keys() - {"values", "state_dict"}:
        assert torch.equal(copy[name], expected[name])
        assert copy[name].stride() == expected[name].stride()
    assert copy["part"].untyped_storage().data_ptr() == copy["turned"].untyped_storage().data_ptr()


def with_pickle(code: bytes, path: Path, **options: int) -> Path:
    """An archive of torch with four numbers, and this pickle."""
    blank = io.BytesIO()
    torch.save(torch.ones(4), blank)
    source = zipfile.ZipFile(blank)
    with zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, code if name.endswith("/data.pkl") else source.read(name), **options)
    return path


def tensor(
    size: object, stride: object, function: str = "_rebuild_tensor_v2", kind: str = "FloatStorage", count: int = 4
) -> bytes:
    class Storage:
        pass

    class Tensor:
        def __reduce__(self):
            return getattr(torch._utils, function), (Storage(), 0, size, stride, False, collections.OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", getattr(torch, kind), "0", "cpu", count) if isinstance(value, Storage) else None

    file = io.BytesIO()
    Pickler(file, 2).dump({"a": Tensor()})
    return file.getvalue()


TWICE = b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ce" % (n, n - 1, n - 1) for n in range(1, 60)) + b"."
TUPLES = b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x01s."
SAME_HASH = (b"\x8a\x0c%sN" % (n * (2**61 - 1)).to_bytes(12, "little") for n in range(20_000))
HOSTILE = {
    "lists that hold each other twice": (TWICE, "holds more than"),
    "a key of tuples that hold each other twice": (TUPLES, "nested tuples"),
    "keys of one hash": (b"\x80\x02}(" + b"".join(SAME_HASH) + b"u.", "huge or complex numbers"),
    "a list in itself": (b"\x80\x02]q\x00h\x00a.", "holds itself"),
    "100,000 brackets": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "levels deep"),
    "terabytes by a stride of 0": (tensor((10**6, 10**6), (0, 0)), "shape"),
    "a tensor behind its storage": (tensor((3, 2), (2, 1)), "shape"),
    "a negative length": (tensor((-1, 2), (2, 1)), "tensor"),
    "a length beyond 64 bits": (tensor((2**70, 2), (2, 1)), "tensor"),
    "an empty tensor of 2^80": (tensor((0, 2**40, 2**40), (1, 1, 1)), "tensor"),
    "shapes that are no numbers": (tensor(("a", 2), (2, 1)), "tensor"),
    "a storage larger than the file": (tensor((2, 2), (2, 1), count=10**12), "size"),
    "a quantised tensor": (tensor((10**6, 10**6), (1, 1), "_rebuild_qtensor"), "quantised"),
    "a type that is not read": (tensor((2, 2), (2, 1), kind="QInt8Storage"), "type"),
    "memory by a call": (
        b"\x80\x02}X\x01\x00\x00\x00acbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x20\x85Rs.",
        "bytearray",
    ),
    "a call of a result": (b"\x80\x02ccollections\nOrderedDict\n)R)R.", "calls"),
    "a call of the system": (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
    "no end": (b"\x80\x02}", "STOP"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_pickle_is_one_phrase_within_seconds(kind: str, tmp_path: Path) -> None:
    code, message = HOSTILE[kind]
    started = time.monotonic()
    with pytest.raises(TorchFileError, match=message) as caught:
        read_torch_file(with_pickle(code, tmp_path / "file"))
    assert time.monotonic() - started < 20
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("line", ["__parameters__ = []", "__parameters__ = [" * 20_000])
def test_modules_that_hold_each_other_twice_and_endless_lines_of_code_end(line: str, tmp_path: Path) -> None:
    """Forty modules, each with the one before as two of its attributes: 2^40 ways to the first."""
    module = b"c__torch__\nM\n)\x81"
    code = b"\x80\x02" + module + b"}bq\x00"
    for n in range(1, 40):
        code += module + b"}(X\x01\x00\x00\x00ah%cX\x01\x00\x00\x00bh%cubq%c" % (n - 1, n - 1, n)
    with zipfile.ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("a/data.pkl", code + b".")
        archive.writestr("a/constants.pkl", b"\x80\x02).")
        archive.writestr("a/code/__torch__.py", f"class M(Module):\n  {line}\n")
    with pytest.raises(TorchFileError, match="too many"):
        read_jit_weights(tmp_path / "file")


def test_a_memo_index_of_gigabytes_costs_nothing(tmp_path: Path) -> None:
    assert read_torch_file(with_pickle(b"\x80\x02]r\xff\xff\xff\x7f.", tmp_path / "file")) == []


def test_what_torch_never_writes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TorchFileError, match="compressed"):
        read_torch_file(with_pickle(b"\x80\x02}.", tmp_path / "file", compress_type=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(tmp_path / "file", "w") as archive, warnings.catch_warnings():
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/data.pkl", b"\x80\x02].")
    with pytest.raises(TorchFileError, match="not one of torch's"):
        read_torch_file(tmp_path / "file")


def test_one_wrong_bit_of_a_tensor_is_damage(tmp_path: Path) -> None:
    torch.save({"a": torch.full((1000,), 7.0)}, tmp_path / "file")
    content = bytearray((tmp_path / "file").read_bytes())
    content[content.index(torch.tensor([7.0, 7.0]).numpy().tobytes()) + 100] ^= 1
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TorchFileError, match="CRC"):
        read_torch_file(tmp_path / "file")
