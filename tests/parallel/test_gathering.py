"""The gradients of several processes are those of one, in double precision.

Letters: B images, N classes, E embedding size.
"""

import pytest
import torch
from torch import Tensor

from lamm.parallel.ranks import Ranks, share_of
from lamm.parallel.sharing import average_gradients, encoded_share, gather_shares
from tests.parallel.processes import gathered

WIDTH, SIZE = 6, 5


def parameters() -> list[torch.nn.Parameter]:
    """Of the image side, of the text side, and of what couples the two."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(WIDTH, SIZE), (WIDTH, SIZE), (SIZE, WIDTH)]
    return [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes]


def loss_of(learned: list[torch.nn.Parameter], images: int, classes: int, ranks: Ranks) -> Tensor:
    """A loss as the trainers' are: features of both sides, those of the text made from the image's, and a regulariser.

    Every part that a process computes of its share alone goes through a `tanh`, so that a wrong factor shows.
    """
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(images, WIDTH, generator=generator, dtype=torch.float64)
    names = torch.randn(classes, WIDTH, generator=generator, dtype=torch.float64)
    of_image, of_text, coupling = learned
    own, mine = encoded_share(ranks, images), encoded_share(ranks, classes)
    image = gather_shares(torch.tanh(pixels[own.start : own.stop] @ of_image), images, ranks)
    context = torch.tanh(image @ coupling)
    text = torch.tanh((context[:, None] + names[None, mine.start : mine.stop]) @ of_text)
    text = gather_shares(text, classes, ranks, dim=1)
    logits = torch.einsum("be,bne->bn", image, text)
    return logits.logsumexp(dim=1).mean() + 0.3 * of_text.square().sum() + 0.1 * coupling.pow(3).sum()


@pytest.mark.parametrize(("size", "images", "classes"), [(2, 4, 6), (2, 5, 3), (3, 7, 2), (3, 1, 1)])
def test_gradients_equal_those_of_one_process(size: int, images: int, classes: int) -> None:
    alone = parameters()
    expected = loss_of(alone, images, classes, Ranks())
    expected.backward()

    def work(ranks: Ranks) -> list[list[float]]:
        learned = parameters()
        loss = loss_of(learned, images, classes, ranks)
        loss.backward()
        average_gradients(learned, ranks)
        gradients = torch.cat([value.grad.flatten() for value in learned if value.grad is not None])
        return [[loss.item()], gradients.tolist()]

    reference = torch.cat([value.grad.flatten() for value in alone if value.grad is not None])
    for (loss,), gradients in gathered(work, size):
        assert loss == pytest.approx(expected.item(), rel=1e-13)
        torch.testing.assert_close(torch.tensor(gradients, dtype=torch.float64), reference, rtol=1e-12, atol=1e-13)


def test_a_process_on_its_own_keeps_its_tensors() -> None:
    features = torch.randn(3, 4, requires_grad=True)
    assert gather_shares(features, 3, Ranks()) is features


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_are_contiguous_whole_and_even(count: int, size: int) -> None:
    shares = [share_of(count, rank, size) for rank in range(size)]
    assert [place for share in shares for place in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert max(map(len, shares)) == -(-count // size)


def test_a_process_without_a_share_encodes_one_thing_all_the_same() -> None:
    assert encoded_share(Ranks(0, 2), 1) == range(1)
    assert encoded_share(Ranks(1, 2), 1) == range(1)
    assert [list(encoded_share(Ranks(rank, 2), 5)) for rank in range(2)] == [[0, 1], [2, 3, 4]]


def test_values_of_the_first_process_reach_the_others_and_differences_are_noticed() -> None:
    def work(ranks: Ranks) -> list[object]:
        found: list[object] = [ranks.from_first({"from": ranks.rank})]
        tensor = ranks.tensor_from_first(torch.arange(6.0).view(2, 3) if ranks.first else None)
        found.append(tensor.tolist())
        ranks.require_same("the weather", "fine", "wait")
        try:
            ranks.require_same("the weather", ranks.rank, "wait")
        except Exception as error:
            found.append(str(error))
        return found

    told = "the 2 processes of this run differ in the weather: wait"
    assert gathered(work, 2) == [[{"from": 0}, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], told]] * 2
