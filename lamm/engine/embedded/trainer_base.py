"""The loop over epochs, and the writer of training curves."""

from typing import Any

from lamm.engine.embedded.registered_models import RegisteredModels


class TrainerBase(RegisteredModels):
    """The loop over epochs, with a hook before and after each part.

    `train` calls `before_train`; for each epoch `before_epoch`, `run_epoch`, `after_epoch`; then `after_train`. The
    loop never steps a scheduler: `forward_backward` calls `update_lr` on the last batch of an epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._writer: Any = None

    # TensorBoard.

    def init_writer(self, log_dir: str) -> None:
        """Open the TensorBoard writer, once."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            print(f"Initialize tensorboard (log_dir={log_dir})")
            self._writer = SummaryWriter(log_dir=log_dir)

    def close_writer(self) -> None:
        """Close the TensorBoard writer if there is one."""
        if self._writer is not None:
            self._writer.close()

    def write_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        """Write one number; nothing happens without a writer, as when only testing."""
        if self._writer is not None:
            self._writer.add_scalar(tag, scalar_value, global_step)

    # The loop.

    def train(self, start_epoch: int, max_epoch: int) -> None:
        """Run the epochs from `start_epoch` up to but without `max_epoch`; `before_train` may move the start."""
        self.start_epoch = start_epoch
        self.max_epoch = max_epoch
        self.before_train()
        for epoch in range(self.start_epoch, self.max_epoch):
            self.epoch = epoch
            self.before_epoch()
            self.run_epoch()
            self.after_epoch()
        self.after_train()

    def before_train(self) -> None:
        """Hook."""

    def after_train(self) -> None:
        """Hook."""

    def before_epoch(self) -> None:
        """Hook."""

    def after_epoch(self) -> None:
        """Hook."""

    def run_epoch(self) -> None:
        """Train for one epoch."""
        raise NotImplementedError

    def test(self, split: str | None = None) -> float:
        """Evaluate; the result that selects models."""
        raise NotImplementedError

    def parse_batch_train(self, batch: Any) -> Any:
        """What the model needs of a training batch."""
        raise NotImplementedError

    def parse_batch_test(self, batch: Any) -> Any:
        """What the model needs of a test batch."""
        raise NotImplementedError

    def forward_backward(self, batch: Any) -> Any:
        """One update; the numbers to print, by name."""
        raise NotImplementedError

    def model_inference(self, input: Any) -> Any:
        """The model's output for a test input."""
        raise NotImplementedError
