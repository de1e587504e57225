"""A recorder as a callback of Lightning's ``Trainer``. Lightning is imported when the callback is made, and not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor

from attnlab.recording.figures import EPOCH_FIGURES, figure_name


def callback(recorder: Any) -> Any:
    """A ``Callback`` that logs the loss of every step, the metrics of every epoch, and the end.

    Args:
        recorder: an `attnlab.Recorder`.

    Metrics are those that the module logs (``self.log("val_acc", ...)``), by the names that `attnlab.Recorder.log` knows.

    Raises:
        ImportError: when neither ``lightning`` nor ``pytorch_lightning`` is installed.
    """
    base = _callback_class()

    class RecorderCallback(base):  # type: ignore[misc, valid-type]
        """Writes the training into the recorder's run; in one process of several."""

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
            if trainer.is_global_zero:
                rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
                figures: dict[str, Any] = {
                    "loss": loss if isinstance(loss, Tensor) else None,
                    "lr": rates[0] if rates else None,
                }
                recorder.log(trainer.global_step, epoch=trainer.current_epoch + 1, **figures)

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            if trainer.is_global_zero:
                named: dict[str, Any] = {
                    figure_name(name, of_epoch=True): value for name, value in trainer.callback_metrics.items()
                }
                known = {name: value for name, value in named.items() if name in EPOCH_FIGURES}
                recorder.log(epoch=trainer.current_epoch + 1, **known)

        def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
            if trainer.is_global_zero:
                recorder.interrupt(exception)

        def on_fit_end(self, trainer: Any, module: Any) -> None:
            if trainer.is_global_zero:
                recorder.close()

    return RecorderCallback()


def _callback_class() -> type:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            found: type = import_module(name).Callback
        except ModuleNotFoundError:
            continue
        return found
    raise ImportError("the callback needs Lightning: pip install lightning")
