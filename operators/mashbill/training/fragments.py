"""Which part of each parameter a process holds in full precision, with AdamW's moments: read for a
checkpoint, overwritten from one.

DeepSpeed's layouts differ by ZeRO stage. Here they all become the same: fragments, each a run of a flattened
parameter. Without ZeRO every process has all of each parameter, and writes its share; ZeRO 1 and 2 cut a
group of parameters, one after the other, into equal pieces; ZeRO 3 cuts each parameter.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

WEIGHT, MOMENTS = "weight", ("exp_avg", "exp_avg_sq")
KINDS = (WEIGHT, *MOMENTS)
Values = dict[str, torch.Tensor]
"""[elements] by kind: the weights in full precision and both moments."""


@dataclass(frozen=True)
class Fragment:
    """A run of a flattened parameter.

    Attributes:
        name: of the parameter.
        start: its first element.
        values: of its elements; views of what the optimiser holds where they are written to.
    """

    name: str
    start: int
    values: Values

    @property
    def size(self) -> int:
        """Elements."""
        return self.values[WEIGHT].numel()


Source = Callable[[str, int, int], Values]
"""Gives the values of some elements of a parameter: by its name, the first, and how many."""


def held(engine: Any) -> Iterator[Fragment]:
    """The fragments that this process is to write; those of all processes are each parameter, once."""
    stage, rank, world = engine.zero_optimization_stage(), dist.get_rank(), dist.get_world_size()
    for fragment in _fragments(engine, stage):
        if stage:
            yield fragment
        else:
            first, end = (fragment.size * i // world for i in (rank, rank + 1))
            cut = {kind: value[first:end] for kind, value in fragment.values.items()}
            yield Fragment(fragment.name, first, cut)


@torch.no_grad()
def overwrite(engine: Any, source: Source, step: int) -> None:
    """Give an engine the weights and moments of a checkpoint; all processes do so together.

    Args:
        engine: of DeepSpeed.
        source: what a checkpoint holds.
        step: steps that the optimiser has taken.
    """
    stage = engine.zero_optimization_stage()
    for fragment in _fragments(engine, stage):
        values = source(fragment.name, fragment.start, fragment.size)
        for kind, value in fragment.values.items():
            value.copy_(values[kind])
    for state in _base(engine).state.values():
        state["step"].fill_(step)
    if stage in {1, 2}:
        engine.optimizer.update_lp_params()
    elif stage == 3:
        _refresh_cut_each(engine)


def _fragments(engine: Any, stage: int) -> Iterator[Fragment]:
    parameters = [(name, p) for name, p in engine.module.named_parameters() if p.requires_grad]
    read = {0: _whole, 1: _cut_as_one, 2: _cut_as_one, 3: _cut_each}[stage]
    for name, parameter in parameters:
        fragment = read(engine, name, parameter)
        if fragment is not None and fragment.size:
            yield fragment


def _whole(engine: Any, name: str, parameter: Any) -> Fragment:
    """Without ZeRO: all of it."""
    return Fragment(name, 0, {kind: value.view(-1) for kind, value in _values(engine, parameter).items()})


def _cut_as_one(engine: Any, name: str, parameter: Any) -> Fragment | None:
    """Under ZeRO 1 and 2: this process's share, if it has one."""
    share = parameter._hp_mapping
    if share is None:
        return None
    place = share.hp_fragment_address
    flat = engine.optimizer.single_partition_of_fp32_groups[share.param_group_index]
    cut = {kind: value.narrow(0, place.start, place.numel) for kind, value in _values(engine, flat).items()}
    return Fragment(name, share.lp_fragment_address.start, cut)


def _cut_each(engine: Any, name: str, parameter: Any) -> Fragment | None:
    """Under ZeRO 3: this process's piece, without what fills the last up."""
    optimizer = engine.optimizer
    group, offset, _ = optimizer.grad_position[optimizer.get_param_id(parameter)]
    size, rank = parameter.ds_tensor.numel(), dist.get_rank()
    first, end = size * rank, min(size * (rank + 1), parameter.ds_numel)
    if end <= first:
        return None
    flat = optimizer.fp32_partitioned_groups_flat[group]
    cut = {k: value.narrow(0, int(offset), end - first) for k, value in _values(engine, flat).items()}
    return Fragment(name, first, cut)


def _refresh_cut_each(engine: Any) -> None:
    """Under ZeRO 3: have the weights that are computed with follow those in full precision."""
    optimizer = engine.optimizer
    for parameter in engine.module.parameters():
        group, offset, _ = optimizer.grad_position[optimizer.get_param_id(parameter)]
        piece = parameter.ds_tensor
        flat = optimizer.fp32_partitioned_groups_flat[group]
        piece.data.copy_(flat.data.narrow(0, int(offset), piece.numel()))
    kept = optimizer.persistent_parameters
    if kept:
        kept[0].partition(kept)
        kept[0].all_gather(kept)


def _values(engine: Any, weight: torch.Tensor) -> Values:
    """What the optimiser holds of a tensor; the moments are made where no step was taken yet."""
    state = _base(engine).state[weight]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
        state.update({kind: torch.zeros_like(weight, dtype=torch.float32) for kind in MOMENTS})
    return {WEIGHT: weight.data, **{kind: state[kind] for kind in MOMENTS}}


def _base(engine: Any) -> Any:
    """The optimiser that DeepSpeed's wraps, or its own."""
    return getattr(engine.optimizer, "optimizer", engine.optimizer)
