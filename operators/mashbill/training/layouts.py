"""A checkpoint of DeepSpeed, read whatever number of processes and ZeRO stage it was written by.

DeepSpeed reads a checkpoint back on the layout that wrote it. What a checkpoint says of a parameter is the
same on every layout: its weights in full precision and the two moments of AdamW. They lie in flat shards, one
a process (ZeRO 1 and 2: the parameters of a group one after the other, cut into equal pieces; ZeRO 3: each
parameter cut into equal pieces), or whole in one file (ZeRO 0).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mashbill.errors import RunError

WEIGHT, MOMENTS = "weight", ("exp_avg", "exp_avg_sq")
Values = dict[str, torch.Tensor]
"""Weights and moments of a parameter, in full precision."""
CHECKPOINTS, LATEST, SHAPES = "checkpoints", "latest", "shapes"


def deepspeed_state() -> list[Any]:
    """What a checkpoint of DeepSpeed holds beside tensors and plain values: all that one may make when it is
    read, as torch loads nothing else (``launch.torchrun``)."""
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address]


def shapes_of(model: torch.nn.Module, groups: Sequence[Mapping[str, Any]]) -> list[dict[str, list[int]]]:
    """Shape of each parameter by name, group by group, in the order in which an optimiser counts them: a
    checkpoint holds it, as shards have no names."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [{names[one]: list(one.shape) for one in group["params"]} for group in groups]


def step_of(checkpoints: Path) -> int | None:
    """The step of the last checkpoint in a folder; None where there is none."""
    latest = checkpoints / LATEST
    return int(latest.read_text().strip().removeprefix("step")) if latest.exists() else None


@dataclass(frozen=True)
class Checkpoint:
    """The last checkpoint in a folder.

    Attributes:
        folder: of its files.
    """

    folder: Path

    @classmethod
    def last(cls, checkpoints: Path) -> "Checkpoint":
        """The one that ``latest`` names."""
        return cls(checkpoints / (checkpoints / LATEST).read_text().strip())

    @cached_property
    def _head(self) -> dict[str, Any]:
        """What its first process knew beside the optimiser's shards."""
        return _load(sorted(self.folder.glob("*model_states.pt"))[0])

    @property
    def step(self) -> int:
        """Steps it was taken after."""
        return int(self._head["step"])

    @property
    def layout(self) -> tuple[int, int]:
        """ZeRO stage and processes."""
        stage, processes = self._head["ds_config"]["zero_optimization"]["stage"], self._head["dp_world_size"]
        return int(stage), int(processes)

    def reads_on(self, stage: int, processes: int) -> bool:
        """Whether DeepSpeed itself reads it back on a layout; without ZeRO every process has all of it."""
        return self.layout == (stage, processes) or self.layout[0] == stage == 0

    def parameters(self) -> Iterator[tuple[str, Values]]:
        """Name of each parameter, and its weights and moments in full precision."""
        names = [(name, torch.Size(shape)) for group in self._head[SHAPES] for name, shape in group.items()]
        values = {0: self._whole, 1: self._cut_as_one, 2: self._cut_as_one, 3: self._cut_each}
        for (name, shape), parts in zip(names, values[self.layout[0]](), strict=True):
            yield name, {kind: torch.cat(cut)[: shape.numel()].view(shape) for kind, cut in parts.items()}

    def _shards(self) -> list[dict[str, Any]]:
        """The optimiser's shards in the order of the processes.

        Raises:
            RunError: one is not there.
        """
        shards = []
        for rank in range(self.layout[1]):
            path = next(self.folder.glob(f"*zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"), None)
            if path is None:
                what = f"lacks the shard of process {rank} of {self.layout[1]}"
                mend = "let all nodes write to one scratch folder, or delete the checkpoint"
                raise RunError(str(self.folder), what, mend)
            shards.append(_load(path)["optimizer_state_dict"])
        return shards

    def _whole(self) -> Iterator[dict[str, list[torch.Tensor]]]:
        held = self._head["optimizer"]
        moments = held.get("optimizer_state_dict", held)["state"]
        if "fp32_groups" in held:
            weights = [weight.detach() for group in held["fp32_groups"] for weight in group]
        else:
            names = (name for group in self._head[SHAPES] for name in group)
            weights = [self._head["module"][name] for name in names]
        for place, weight in enumerate(weights):
            kinds = {WEIGHT: weight, **{kind: moments[place][kind] for kind in MOMENTS}}
            yield {kind: [value.flatten()] for kind, value in kinds.items()}

    def _cut_as_one(self) -> Iterator[dict[str, list[torch.Tensor]]]:
        shards = self._shards()
        for place, group in enumerate(self._head[SHAPES]):
            flats = [
                _flats(shard["single_partition_of_fp32_groups"], shard["base_optimizer_state"], place)
                for shard in shards
            ]
            mappings = [shard["param_slice_mappings"][place] for shard in shards]
            for name in group:
                here = [(flat, m[name]) for flat, m in zip(flats, mappings, strict=True) if name in m]
                yield {
                    kind: [flat[kind].narrow(0, at.start, at.numel) for flat, at in here]
                    for kind in (WEIGHT, *MOMENTS)
                }

    def _cut_each(self) -> Iterator[dict[str, list[torch.Tensor]]]:
        shards, place, at = self._shards(), 0, 0
        groups = range(len(shards[0]["fp32_flat_groups"]))
        flats = [
            [_flats(shard["fp32_flat_groups"], shard["optimizer_state_dict"], i) for shard in shards]
            for i in groups
        ]
        for shapes in self._head[SHAPES]:
            for shape in map(torch.Size, shapes.values()):
                if at == len(flats[place][0][WEIGHT]):
                    place, at = place + 1, 0
                size = -(-shape.numel() // len(shards))
                yield {
                    kind: [flat[kind].narrow(0, at, size) for flat in flats[place]]
                    for kind in (WEIGHT, *MOMENTS)
                }
                at += size


def put_into(engine: Any, checkpoint: Checkpoint) -> None:
    """Give an engine of another layout the weights and moments of a checkpoint.

    Args:
        engine: of DeepSpeed, which has taken a step, so that its optimiser has moments to be overwritten.
        checkpoint: what it goes on from.
    """
    from deepspeed.runtime.zero import GatheredParameters

    put = {0: _put_whole, 1: _put_cut_as_one, 2: _put_cut_as_one, 3: _put_cut_each}
    stage, parameters = engine.zero_optimization_stage(), dict(engine.module.named_parameters())
    base = getattr(engine.optimizer, "optimizer", engine.optimizer)
    for name, values in checkpoint.parameters():
        parameter = parameters[name]
        with GatheredParameters([parameter], modifier_rank=0) if stage == 3 else nullcontext():
            parameter.data.copy_(values[WEIGHT])
        put[stage](engine.optimizer, base.state, parameter, values=values)
    for state in base.state.values():
        state["step"].fill_(checkpoint.step)


def _put_whole(optimizer: Any, states: Any, parameter: Any, *, values: Values) -> None:
    """Overwrite what an optimiser without ZeRO has of a parameter; beside weights of less precision it has
    its own."""
    groups = zip(getattr(optimizer, "fp16_groups", ()), getattr(optimizer, "fp32_groups", ()), strict=True)
    pairs = (pair for own, full in groups for pair in zip(own, full, strict=True))
    master = next((full for own, full in pairs if own is parameter), parameter)
    master.data.copy_(values[WEIGHT])
    for kind in MOMENTS:
        states[master][kind].copy_(values[kind])


def _put_cut_as_one(optimizer: Any, states: Any, parameter: Any, *, values: Values) -> None:
    """Overwrite this process's share of a parameter under ZeRO 1 and 2, if it has one."""
    share = parameter._hp_mapping
    if share is None:
        return
    flat, own, at = (
        optimizer.single_partition_of_fp32_groups[share.param_group_index],
        share.lp_fragment_address,
        share.hp_fragment_address,
    )
    for kind, held in {WEIGHT: flat.data, **states[flat]}.items():
        if kind in values:
            held.narrow(0, at.start, at.numel).copy_(values[kind].flatten().narrow(0, own.start, own.numel))


def _put_cut_each(optimizer: Any, states: Any, parameter: Any, *, values: Values) -> None:
    """Overwrite this process's share of a parameter under ZeRO 3."""
    from deepspeed import utils

    del optimizer, states
    size, processes = parameter.ds_tensor.numel(), dist.get_world_size()
    own = {
        kind: torch.nn.functional.pad(value.flatten(), (0, size * processes - value.numel())).narrow(
            0, size * dist.get_rank(), size
        )
        for kind, value in values.items()
    }
    utils.safe_set_local_fp32_param(parameter, own[WEIGHT])
    for kind in MOMENTS:
        utils.safe_set_local_optimizer_state(parameter, own[kind], kind)


def _flats(weights: list[torch.Tensor], optimizer: dict[str, Any], place: int) -> Values:
    """The flat shards of a group: weights and moments."""
    return {WEIGHT: weights[place], **{kind: optimizer["state"][place][kind] for kind in MOMENTS}}


def _load(path: Path) -> dict[str, Any]:
    with torch.serialization.safe_globals(deepspeed_state()):
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return loaded
