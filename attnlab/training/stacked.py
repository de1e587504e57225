"""Many seeds of one configuration, trained together: R networks as one, their weights stacked along a new first axis.

    logits_r = f(theta_r, x_r) for r = 1..R  ->  one call of vmap(f) on theta (R, ...), x (R, B, C, H, W)

`torch.func` turns the R convolutions of a layer into one grouped convolution, and every other operation into one over R
times as many numbers, which fills a device that is too large for one narrow network. The networks share nothing: each has
its own order of the images, dropout, augmentation, batch normalisation statistics, optimizer, learning rate, best epoch,
snapshots and checkpoints. The loss that is differentiated is the sum of their losses, so each has its own gradient.

The weights, buffers and gradients of each network are views of the stacks. So everything that a training does between two
steps is done by the same code as in a single training, `attnlab.training.loop.Training`.

Compared with training one by one, the weights are the same to rounding where nothing is random (no dropout, no
augmentation), and otherwise have the same distribution, since all networks draw from one generator. A run that is stopped,
or whose loss is no longer finite, leaves the stack; the others continue.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from attnlab.attention import evaluating
from attnlab.config import RunConfig
from attnlab.data import ImageDataset, Progress, load_dataset
from attnlab.training.device import choose_device
from attnlab.training.events import Event, ResultEvent
from attnlab.training.feed import Feed
from attnlab.training.loop import Training
from attnlab.training.metrics import Evaluation, RunningMetrics, Stopped
from attnlab.training.reporting import TrainingFailed
from attnlab.training.seeding import mix
from attnlab.training.state import TrainState

End = ResultEvent | TrainingFailed | None
"""How a run of a stack ended: with its result, failed, or (`None`) stopped with a checkpoint."""


def never(seed: int) -> bool:
    """The `should_stop` of a stack that nobody stops."""
    return False


def train_stacked(
    configs: Sequence[RunConfig],
    *,
    on_event: Callable[[int, Event], None],
    should_stop: Callable[[int], bool] = never,
    dataset: ImageDataset | None = None,
    resume: Sequence[TrainState | None] | None = None,
    checkpoint_every: int | timedelta | None = timedelta(seconds=30),
    progress: Progress | None = None,
) -> list[End]:
    """Trains runs that differ only in their seed together; otherwise as `attnlab.training.train`.

    The seconds and images per second of a run are measured on the steps of the whole stack, since its share is not known.

    Args:
        on_event: called with the place of a run in ``configs`` and an event of that run.
        should_stop: called with the place of a run before every step; a run that stops leaves the stack.
        resume: one state per run, all of the same step, or `None` for all.

    Returns:
        How each run ended, in the order of ``configs``.

    Raises:
        ValueError: for runs that cannot be stacked, or as `attnlab.training.train`.
        TrainingFailed: when the device has too little memory for all of them.
    """
    states = list(resume) if resume is not None else [None] * len(configs)
    _check(configs, states)
    data = dataset if dataset is not None else load_dataset(configs[0].dataset, progress=progress)
    device = choose_device(configs[0].training.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        stack = _Stack(configs, data, device, on_event, should_stop, checkpoint_every)
        try:
            return stack.run(states)
        except torch.OutOfMemoryError as error:
            reason = f"the device has too little memory for {len(configs)} networks with batches of"
            less = "a smaller training.batch_size, dataset.image_size or model.width may help, or ATTNLAB_STACK=0"
            raise TrainingFailed(stack.step + 1, f"{reason} {configs[0].training.batch_size}; {less}") from error


def _check(configs: Sequence[RunConfig], states: Sequence[TrainState | None]) -> None:
    if not configs:
        raise ValueError("a stack needs at least one run")
    if len({config.group for config in configs}) > 1:
        raise ValueError("only runs that differ in nothing but their seed can be trained as a stack")
    if len(states) != len(configs):
        raise ValueError(f"{len(configs)} runs need as many states to resume from, got {len(states)}")
    if len({state.step if state else None for state in states}) > 1:
        raise ValueError("the runs of a stack must be at the same step; resume the others one by one")


class _Stack:
    """Trainings that take their steps together."""

    def __init__(
        self,
        configs: Sequence[RunConfig],
        dataset: ImageDataset,
        device: torch.device,
        on_event: Callable[[int, Event], None],
        should_stop: Callable[[int], bool],
        checkpoint_every: int | timedelta | None,
    ) -> None:
        self.dataset, self.device, self.should_stop = dataset, device, should_stop
        self.trainings: list[Training] = []
        for place, config in enumerate(configs):
            training = Training(config, dataset, device, _to(on_event, place), checkpoint_every=checkpoint_every)
            if self.trainings:
                training.train_feed = self.trainings[0].train_feed  # one copy of the images on the device
            self.trainings.append(training)
        self.active = list(range(len(configs)))
        self.ends: list[End] = [None] * len(configs)
        self.base = copy.deepcopy(self.trainings[0].model).to("meta")

    @property
    def lead(self) -> Training:
        """A run that is still in the stack; step, epoch and batch are the same for all."""
        return self.trainings[self.active[0]]

    @property
    def step(self) -> int:
        return self.lead.step if self.active else 0

    def run(self, states: Sequence[TrainState | None]) -> list[End]:
        for training, state in zip(self.trainings, states, strict=True):
            if state is not None:
                training.restore(state)
            training.begin(fresh=state is None)
        self._stack()
        validation = Feed(self.dataset.validation, self.dataset, self.device)
        while self.active and self.lead.epoch < self.lead.config.training.epochs:
            batches = {place: self.trainings[place].begin_epoch() for place in self.active}
            while self.active and self.lead.batch < self.lead.steps_per_epoch:
                self._release_stopped()
                if self.active:
                    self._one_step([batches[place][self.lead.batch] for place in self.active])
            self._release_stopped()
            if self.active:
                self._finish_epoch(self._evaluate(validation))
        for place in list(self.active):
            try:
                self.trainings[place].should_stop = partial(self.should_stop, place)
                self.ends[place] = self.trainings[place].test()
            except Stopped:
                self.trainings[place].send_checkpoint()
        return self.ends

    def _stack(self) -> None:
        """Stacks the weights and buffers of the runs still here, and makes the runs' own tensors views of the stacks."""
        models = [self.trainings[place].model for place in self.active]
        self.weights: dict[str, Tensor] = {
            name: nn.Parameter(_join([dict(model.named_parameters())[name] for model in models]))
            for name, _ in models[0].named_parameters()
        }
        self.buffers = {
            name: _join([dict(model.named_buffers())[name] for model in models]) for name, _ in models[0].named_buffers()
        }
        for row, model in enumerate(models):
            for name, weight in model.named_parameters():
                weight.data = self.weights[name].data[row]
                weight.grad = None
            for name, buffer in model.named_buffers():
                buffer.data = self.buffers[name][row]
        self._shared_gradients: dict[str, Tensor] = {}

    def _one_step(self, index: list[Tensor]) -> None:
        began = time.perf_counter()
        lead, count = self.lead, len(self.active)
        torch.manual_seed(mix(lead.config.seed, "stack", count, lead.step))
        x, labels = lead.train_feed.batch(torch.cat(index))
        x, labels = x.unflatten(0, (count, -1)), labels.unflatten(0, (count, -1))
        self.base.train()
        with lead.autocast():
            logits = self._forward(x, 0)
        losses = [lead.objective.loss(logits[row], labels[row]) for row in range(count)]
        if self._shared_gradients:
            torch._foreach_zero_(list(self._shared_gradients.values()))
        torch.stack(losses).sum().backward()
        self._share_gradients()
        for row, place in enumerate(list(self.active)):
            self._guard(place, partial(self.trainings[place].update, losses[row], logits[row], labels[row], began))
        for place in list(self.active):
            self._guard(place, self.trainings[place].after_step)
        self._restack_if_shrunk(count)

    def _forward(self, x: Tensor, axis: int | None) -> Tensor:
        """Logits (R, B, classes) for ``x`` (R, B, C, H, W), or with ``axis=None`` for the same (B, C, H, W) in all networks."""

        def call(weights: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
            return functional_call(self.base, (weights, buffers), (images,))

        return vmap(call, in_dims=(0, 0, axis), randomness="different")(self.weights, self.buffers, x)

    def _share_gradients(self) -> None:
        """Gives each run its rows of the gradients; unused weights have none, as in a single training."""
        gradients = {name: weight.grad for name, weight in self.weights.items() if weight.grad is not None}
        shared = self._shared_gradients
        if gradients.keys() == shared.keys() and all(gradients[name] is shared[name] for name in gradients):
            return
        self._shared_gradients = gradients
        for row, place in enumerate(self.active):
            for name, weight in self.trainings[place].model.named_parameters():
                weight.grad = gradients[name][row] if name in gradients else None

    def _finish_epoch(self, validations: list[Evaluation]) -> None:
        count = len(self.active)
        for place, validation in zip(list(self.active), validations, strict=True):
            self._guard(place, partial(self.trainings[place].finish_epoch, validation))
        self._restack_if_shrunk(count)

    def _evaluate(self, feed: Feed) -> list[Evaluation]:
        """A pass of all networks over a split, in the same batches."""
        lead = self.lead
        objective, protocol = lead.objective, lead.config.protocol
        binary = len(self.dataset.class_names) == 2
        sums = [RunningMetrics(self.device, binary=binary, protocol=protocol) for _ in self.active]
        collected: list[Tensor] = []
        with evaluating(self.base, in_training_mode=protocol.evaluation_mode == "training"), torch.no_grad():
            for index in torch.arange(len(feed)).split(lead.config.training.batch_size):
                x, labels = feed.batch(index)
                with lead.autocast():
                    logits = self._forward(x, None)
                probabilities = [objective.probabilities(row) for row in logits]
                for run, row, probability in zip(sums, logits, probabilities, strict=True):
                    run.add(objective.loss(row, labels), probability, labels)
                collected.append(torch.stack(probabilities))
        by_run = torch.cat(collected, dim=1).cpu().numpy()  # (R, n, classes)
        truth = feed.labels.cpu().numpy()
        return [Evaluation(run.loss, run.accuracy, run.auc, by_run[row], truth) for row, run in enumerate(sums)]

    def _guard(self, place: int, act: Callable[[], None]) -> None:
        """Calls ``act``; the run at ``place`` leaves the stack when it fails."""
        try:
            act()
        except TrainingFailed as error:
            self.ends[place] = error
            self.active.remove(place)

    def _release_stopped(self) -> None:
        count = len(self.active)
        for place in list(self.active):
            if self.should_stop(place):
                self.trainings[place].send_checkpoint()
                self.active.remove(place)
        self._restack_if_shrunk(count)

    def _restack_if_shrunk(self, count: int) -> None:
        if self.active and len(self.active) < count:
            self._stack()


def _to(on_event: Callable[[int, Event], None], place: int) -> Callable[[Event], None]:
    return partial(on_event, place)


def _join(rows: list[Tensor]) -> Tensor:
    return torch.stack([row.detach() for row in rows])
