"""A few steps under DeepSpeed in a process of its own, by the settings of a recipe: losses as a line of JSON.

python -m builders.deepspeed_steps '{"zero_stage": 3, "offload": {"optimizer": "cpu"}}' ...
"""

import json
import os
import sys
from typing import Any

import torch

from mashbill.config import ModelShape, TrainingConfig
from mashbill.models.optimisation import weight_decay_groups
from mashbill.models.transformer import Transformer
from mashbill.training.recipe import deepspeed_config

SHAPE = ModelShape(layers=2, width=32, heads=2, kv_heads=2, feed_forward=64, context=32, tied=False)
VOCABULARY, STEPS = 64, 3


def losses(**settings: Any) -> list[float]:
    """The loss of each step of one process, on the same tokens whatever the settings."""
    import deepspeed

    training = TrainingConfig(
        model=SHAPE,
        batch_sequences=4,
        micro_batch_sequences=4,
        processes_per_node=1,
        precision="fp32",
        learning_rate=1e-2,
        **settings,
    )
    model = Transformer(SHAPE, VOCABULARY)
    if training.zero_stage == 3:
        deepspeed.zero.register_external_parameter(model, model.lm_head.weight)
    groups = weight_decay_groups(model, training.weight_decay)
    engine: Any = deepspeed.initialize(
        model=model, model_parameters=groups, config=deepspeed_config(training)
    )[0]
    tokens = torch.randint(0, VOCABULARY, (4, SHAPE.context), generator=torch.Generator().manual_seed(0))
    found = []
    for _ in range(STEPS):
        loss = engine(tokens, tokens)
        engine.backward(loss)
        engine.step()
        found.append(float(loss))
    return found


def main() -> None:
    """Print the losses of each of the settings given."""
    os.environ |= {
        "DS_ACCELERATOR": "cpu",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
    }
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="gloo")
    print(json.dumps([losses(**json.loads(text)) for text in sys.argv[1:]]))
    sys.stdout.flush()
    os._exit(0)  # gloo's threads now and then abort an orderly end


if __name__ == "__main__":
    main()
