"""How many machines train is said once, in ``launch.train`` or in ``training``, and is the same in both."""

from pathlib import Path
from typing import Any

import pytest

from mashbill.config import PipelineConfig, load_config
from mashbill.errors import ConfigError

CONFIG = """
[corpus]
domains = [{ name = "a", sources = [{ path = "a" }] }, { name = "b", sources = [{ path = "b" }] }]
"""


def config_with(folder: Path, text: str) -> PipelineConfig:
    (folder / "c.toml").write_text(CONFIG + text)
    return load_config(folder / "c.toml")


def ranks(config: PipelineConfig) -> tuple[Any, ...]:
    takes, training = config.launch["train"], config.training
    assert (takes.nodes, takes.processes) == (training.nodes, training.processes_per_node)
    return training.nodes, training.processes_per_node


@pytest.mark.parametrize(
    "text, told",
    [
        ("[launch.train]\nnodes = 4\ngpus = 8", (4, 8)),
        ("[launch.train]\nnodes = 4\ngpus = 8\nprocesses = 2", (4, 2)),
        ("[launch.train]\n[training]\nnodes = 3\nprocesses_per_node = 5", (3, 5)),
        ("[launch.train]\nnodes = 3\n[training]\nnodes = 3", (3, 2)),
        ("[launch.train]\ngpus = 8\n[training]\nprocesses_per_node = 4", (1, 8)),
        ("[launch.train]", (1, 2)),
        ('[launch.train]\nbackend = "ssh"\nssh = { hosts = ["a", "b", "c"] }', (3, 2)),
    ],
)
def test_nodes_and_processes_are_the_same_wherever_they_are_said(
    text: str, told: tuple[int, int], tmp_path: Path
) -> None:
    config = config_with(tmp_path, text)
    assert ranks(config) == told
    assert PipelineConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    "text, words",
    [
        ("[launch.train]\nnodes = 4\n[training]\nnodes = 2", "launch.train.nodes is 4 and training.nodes 2"),
        ('[launch.train]\nbackend = "ssh"', "ssh with 0 hosts for 1 nodes; name one a node"),
        (
            '[launch.train]\nbackend = "ssh"\nnodes = 2\nssh = { hosts = ["a"] }',
            "ssh with 1 hosts for 2 nodes; name one a node",
        ),
        (
            "[launch.train]\nprocesses = 4\n[training]\nprocesses_per_node = 2",
            "launch.train.processes is 4 and training.processes_per_node 2",
        ),
    ],
)
def test_two_that_contradict_one_another_are_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        config_with(tmp_path, text)


def test_where_another_stage_runs_says_nothing_of_training(tmp_path: Path) -> None:
    config = config_with(tmp_path, "[launch.sweep]\nprocesses = 7\ngpus = 4")
    assert (config.training.nodes, config.training.processes_per_node) == (1, 2)
