"""The training of one run: a function that returns at the end and reports what happens through events.

An epoch is a sequence of steps, each followed by its snapshot and checkpoint where they are due, then the validation, by
which the best epoch is chosen. Randomness is a function of (seed, step), see `attnlab.training.seeding`. So on a CPU the
same config gives the same weights bit for bit, also when the training was stopped anywhere and resumed from its state, as
long as the number of threads and the version of torch are the same.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta

import torch
from torch import Tensor, nn

from attnlab.attention import locate_maps
from attnlab.config import RunConfig
from attnlab.data import ImageDataset, Progress, load_dataset
from attnlab.interop import start_weights
from attnlab.models import ImageShape, build_model
from attnlab.training.device import choose_device, describe_device
from attnlab.training.events import CheckpointEvent, EpochEvent, Event, ResultEvent, StartEvent
from attnlab.training.feed import Feed, check_best_epoch, check_labels, steps_per_epoch
from attnlab.training.losses import Objective
from attnlab.training.metrics import Evaluation, RunningMetrics, Stopped, describe_test, evaluate
from attnlab.training.optim import Schedule, build_optimizer, lay_out_as_weights
from attnlab.training.rehearsal import rehearse
from attnlab.training.reporting import StepReporter, TrainingFailed
from attnlab.training.seeding import epoch_order, mix
from attnlab.training.snapshots import Snapshots, choose_probes
from attnlab.training.state import Best, TrainState, to_cpu


def never() -> bool:
    """The `should_stop` of a training that nobody stops."""
    return False


def train(
    config: RunConfig,
    *,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool] = never,
    dataset: ImageDataset | None = None,
    resume: TrainState | None = None,
    checkpoint_every: int | timedelta | None = timedelta(seconds=30),
    progress: Progress | None = None,
) -> ResultEvent | None:
    """Trains the network of ``config``, tests its best epoch, and reports everything through ``on_event``.

    The default random generators are unchanged when it returns.

    Args:
        on_event: called in this thread. Arrays and tensors in an event belong to the receiver.
        should_stop: called before every step and every batch of an evaluation.
        dataset: the data of ``config.dataset``, if it is loaded already.
        resume: a state of a training with the same config.
        checkpoint_every: a `CheckpointEvent` every so many steps or so much time. With `None`, only those at a new best
            epoch, at the end and when stopped.
        progress: called while the data set is read.

    Returns:
        The result, also sent as the last event; `None` when stopped, after a `CheckpointEvent` to resume from.

    Raises:
        TrainingFailed: when a loss is no longer finite, or the device has no memory left.
        ValueError: for a config that cannot be trained (unknown names, sizes, labels, device), or a state of another config.

    Example:
        >>> from attnlab import RunConfig, train
        >>> config = RunConfig.model_validate({
        ...     "dataset": {"name": "digits", "subset": 64, "test_subset": 32},
        ...     "model": {"attention": "eca", "width": 4},
        ...     "training": {"epochs": 1, "batch_size": 16, "device": "cpu"},
        ... })
        >>> events = []
        >>> result = train(config, on_event=events.append)
        >>> [event.kind for event in events].count("step")
        4
        >>> 0 <= result.test_accuracy <= 1
        True
    """
    data = dataset if dataset is not None else load_dataset(config.dataset, progress=progress)
    device = choose_device(config.training.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        training = Training(config, data, device, on_event, should_stop, checkpoint_every)
        if resume is not None:
            training.restore(resume)
        try:
            return training.run(fresh=resume is None)
        except Stopped:
            training.send_checkpoint()
            return None
        except torch.OutOfMemoryError as error:
            raise TrainingFailed(
                training.step + 1,
                f"the device has too little memory for batches of {config.training.batch_size}; a smaller "
                "training.batch_size, dataset.image_size or model.width may help",
            ) from error


class Training:
    """A training in progress.

    Use `train`; only `attnlab.training.stacked`, which steps many trainings at once, and `attnlab.training.estimate`, which
    times a few steps, use the parts.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: ImageDataset,
        device: torch.device,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool] = never,
        checkpoint_every: int | timedelta | None = None,
    ) -> None:
        check_labels(dataset)
        check_best_epoch(config, dataset)
        self.config, self.dataset, self.device = config, dataset, device
        self.on_event, self.should_stop, self.checkpoint_every = on_event, should_stop, checkpoint_every
        torch.manual_seed(mix(config.seed, "weights"))
        self.model: nn.Module = build_model(config.model, ImageShape(*dataset.shape), len(dataset.class_names)).to(device)
        if device.type in {"cuda", "cpu"}:  # as the images are, see `Feed`
            self.model = self.model.to(memory_format=torch.channels_last)
        self.objective = Objective(config)
        self.train_feed = Feed(dataset.train, dataset, device, augmentation=config.training.augment)
        self.steps_per_epoch = steps_per_epoch(config, len(dataset.train))
        rehearse(config, self.model, ImageShape(*dataset.shape), len(dataset.train))
        self.total_steps = self.steps_per_epoch * config.training.epochs
        self.step = self.epoch = self.batch = 0
        self.seconds = 0.0
        self.best: Best | None = None
        self.highest: float | None = None  # score of any epoch so far
        self.sums = self._new_sums()
        self._make_optimizer()
        self.reporter = StepReporter(config, device, on_event, self.steps_per_epoch, len(dataset.train))
        self._last_checkpoint = self._clock = time.perf_counter()

    def run(self, *, fresh: bool) -> ResultEvent:
        """Trains from the current step to the end, and tests.

        Args:
            fresh: whether this is the first attempt, not one that goes on from a state.

        Raises:
            Stopped: when ``should_stop`` says so; the state is then that of the last whole step.
        """
        self.begin(fresh=fresh)
        validation = Feed(self.dataset.validation, self.dataset, self.device)
        while self.epoch < self.config.training.epochs:
            batches = self.begin_epoch()
            while self.batch < self.steps_per_epoch:
                if self.should_stop():
                    raise Stopped
                self.one_step(batches[self.batch])
                self.after_step()
            self.finish_epoch(self.evaluate(self.model, validation))
        return self.test()

    def begin(self, *, fresh: bool) -> None:
        """Reports what is trained, and the maps of the probe images before the first step."""
        probes = choose_probes(self.dataset)
        self._snapshots = Snapshots(probes, self.dataset, self.total_steps)
        self.on_event(
            StartEvent(
                device=describe_device(self.device),
                parameters=sum(weight.numel() for weight in self.model.parameters()),
                classes=len(self.dataset.class_names),
                train_images=len(self.dataset.train),
                steps_per_epoch=self.steps_per_epoch,
                total_steps=self.total_steps,
            )
        )
        self.on_event(replace(probes, cells=locate_maps(self.model, self.dataset.shape)))
        if fresh:
            start_weights(self.model)
            self.send_snapshot()

    def begin_epoch(self) -> tuple[Tensor, ...]:
        """The batches of the epoch in progress, as indices (int64, on the CPU)."""
        if self.batch == 0 and self.epoch > 0 and self.config.protocol.optimizer_scope == "epoch":
            self._make_optimizer()
        order = epoch_order(self.config.seed, self.epoch, len(self.train_feed))
        return order.split(self.config.training.batch_size)

    def one_step(self, index: Tensor) -> None:
        """Forward, backward and update on the images at ``index``.

        Raises:
            TrainingFailed: when the loss is not finite. On CUDA losses are checked up to 20 steps later; the error names
                the step it happened in.
        """
        began = time.perf_counter()
        torch.manual_seed(mix(self.config.seed, "step", self.step))
        self.model.train()
        x, labels = self.train_feed.batch(index)
        with self.autocast():
            logits = self.model(x)
        loss = self.objective.loss(logits, labels)
        if self.device.type == "cpu":
            self.reporter.check_finite(self.step + 1, loss.item())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.update(loss, logits, labels, began)

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor, began: float) -> None:
        """Updates the weights from their gradients, and notes the step.

        Args:
            began: `time.perf_counter` at the start of the step.

        Raises:
            TrainingFailed: as `one_step`.
        """
        lr = self.schedule.lr
        self.optimizer.step()
        self.schedule.after_step()
        self.sums.add(loss, self.objective.probabilities(logits.detach()), labels)
        self.step += 1
        self.batch += 1
        self.reporter.add(self.step, lr, loss, len(labels), began)

    def after_step(self) -> None:
        """Sends the snapshot and the checkpoint where they are due."""
        if self.step in self._snapshots.steps:
            self.reporter.flush()
            self.send_snapshot()
        if self._checkpoint_due():
            self.send_checkpoint()

    def finish_epoch(self, validation: Evaluation) -> None:
        """Ends an epoch: adapts the schedule, and decides whether it is the best one so far.

        Raises:
            TrainingFailed: when a loss is not finite.
        """
        self.reporter.flush()
        self.reporter.check_finite(self.step, validation.loss, "validation loss")
        self.schedule.after_validation(validation.loss)
        self.epoch += 1
        self.batch = 0
        score = self._score(validation)
        is_best = self.highest is None or score > self.highest
        self.highest = score if self.highest is None else max(score, self.highest)
        if self.config.protocol.best_epoch == "second_replaces" and self.epoch == 2:
            is_best = True  # although its score may be below the highest, which the later epochs must exceed
        if is_best:
            self.best = Best(self.epoch, score, validation.accuracy, to_cpu(self.model.state_dict()))
        sums, self.sums = self.sums, self._new_sums()
        self.on_event(
            EpochEvent(
                step=self.step,
                epoch=self.epoch,
                train_loss=sums.loss,
                train_accuracy=sums.accuracy,
                validation_loss=validation.loss,
                validation_accuracy=validation.accuracy,
                train_auc=sums.auc,
                validation_auc=validation.auc,
                best=is_best,
                seconds=self._elapsed(),
            )
        )
        if is_best or self.epoch == self.config.training.epochs:
            self.send_checkpoint(best=is_best)

    def test(self) -> ResultEvent:
        """Tests the best epoch."""
        assert self.best is not None  # at least one epoch has ended
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.best.weights)
        test = self.evaluate(model, Feed(self.dataset.test, self.dataset, self.device))
        result = ResultEvent(
            step=self.step,
            best_epoch=self.best.epoch,
            validation_accuracy=self.best.accuracy,
            test_loss=test.loss,
            test_accuracy=test.accuracy,
            test_auc=test.auc,
            seconds=self._elapsed(),
            images_per_second=self.reporter.mean_speed(self.step),
            extra=describe_test(test),
        )
        self.on_event(result)
        return result

    # Its state

    def restore(self, state: TrainState) -> None:
        """Goes back to ``state``.

        Raises:
            ValueError: when it belongs to another config.
        """
        if state.config_hash != self.config.config_hash:
            raise ValueError("the training state belongs to another configuration; resume with the one it was made with")
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(copy.deepcopy(state.optimizer))
        lay_out_as_weights(self.optimizer)
        self.schedule.load_state_dict(state.schedule)
        self.sums.load_state_dict(state.sums)
        self.step, self.epoch, self.batch = state.step, state.epoch, state.batch
        self.seconds, self.reporter.seconds = state.seconds, state.step_seconds
        self.best, self.highest = state.best, state.highest

    def capture(self) -> TrainState:
        """The current state; it shares no memory with the training."""
        return TrainState(
            config_hash=self.config.config_hash,
            step=self.step,
            epoch=self.epoch,
            batch=self.batch,
            seconds=self._elapsed(),
            step_seconds=self.reporter.seconds,
            model=to_cpu(self.model.state_dict()),
            optimizer=to_cpu(self.optimizer.state_dict()),
            schedule=copy.deepcopy(self.schedule.state_dict()),
            sums=to_cpu(self.sums.state_dict()),
            best=self.best,
            highest=self.highest,
        )

    def send_checkpoint(self, *, best: bool = False) -> None:
        self.reporter.flush()
        self.on_event(CheckpointEvent(step=self.step, state=self.capture(), best=best))
        self._last_checkpoint = time.perf_counter()

    def _checkpoint_due(self) -> bool:
        every = self.checkpoint_every
        if isinstance(every, timedelta):
            return time.perf_counter() - self._last_checkpoint >= every.total_seconds()
        return every is not None and self.step % every == 0

    # Its parts

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 where the config wants it and the device is CUDA."""
        if self.device.type == "cuda" and self.config.training.amp:
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()

    def _make_optimizer(self) -> None:
        per_run = self.config.protocol.optimizer_scope == "run"
        self.optimizer = build_optimizer(self.model, self.config.training, self.device)
        self.schedule = Schedule(self.optimizer, self.config.training, self.total_steps if per_run else self.steps_per_epoch)

    def _new_sums(self) -> RunningMetrics:
        return RunningMetrics(self.device, binary=len(self.dataset.class_names) == 2, protocol=self.config.protocol)

    def send_snapshot(self) -> None:
        self.on_event(self._snapshots.take(self.model, self.objective, self.step, self.device))

    def evaluate(self, model: nn.Module, feed: Feed) -> Evaluation:
        self.reporter.flush()
        return evaluate(
            model,
            feed,
            self.objective,
            batch_size=self.config.training.batch_size,
            protocol=self.config.protocol,
            should_stop=self.should_stop,
            autocast=self.autocast,
        )

    def _score(self, validation: Evaluation) -> float:
        """What the best epoch is chosen by; higher is better."""
        rule = self.config.protocol.best_epoch
        if rule == "validation_loss":
            return -validation.loss
        if rule == "validation_auc":
            assert validation.auc is not None  # see `check_best_epoch`
            return validation.auc
        return validation.accuracy

    def _elapsed(self) -> float:
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        return self.seconds
