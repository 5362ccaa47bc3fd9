"""How many machines train is said once, in ``launch.train`` or in ``training``, and is the same in both."""

from pathlib import Path
from typing import Any

import pytest

from mashbill.config import PipelineConfig, load_config
from mashbill.config.launch import KUBERNETES
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


@pytest.mark.parametrize(
    "given, words",
    [
        ('backend = "ray"', "backend is ray and ray.address is not set; name the cluster"),
        *(
            (f'backend = "{name}"', f"backend is {name} and image is not set; name one")
            for name in sorted(KUBERNETES)
        ),
        ("nodes = 0", "launch.sweep.nodes: is 0, and must be"),
        ("gpus = -1", "launch.sweep.gpus: is -1, and must be"),
        ("processes = 0", "launch.sweep.processes: is 0, and must be"),
        ("max_restarts = -1", "launch.sweep.max_restarts: is -1, and must be"),
        ("max_jobs = 0", "launch.sweep.max_jobs: is 0, and must be"),
        ("time_limit_seconds = 0", "launch.sweep.time_limit_seconds: is 0, and must be"),
        ("port = 0", "launch.sweep.port: is 0, and must be"),
        ("port = 65_536", "launch.sweep.port: is 65536, and must be"),
        ("kubernetes = { grace_seconds = 0 }", "launch.sweep.kubernetes.grace_seconds: is 0, and must be"),
        ("kubernetes = { ttl_seconds = -1 }", "launch.sweep.kubernetes.ttl_seconds: is -1, and must be"),
        ("ray = { workers = -1 }", "launch.sweep.ray.workers: is -1, and must be"),
        *(
            (f'memory = "{word}"', f"launch.sweep.memory: is '{word}', which is no amount")
            for word in ("64Gb", "64GiB", "1e3", "64 Gi", "-1", "Gi", "64g", "")
        ),
    ],
)
def test_what_no_backend_can_be_given_is_refused_with_its_name(
    given: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as told:
        config_with(tmp_path, f"[launch.sweep]\n{given}\n")
    assert words in str(told.value)


def test_where_another_stage_runs_says_nothing_of_training(tmp_path: Path) -> None:
    config = config_with(tmp_path, "[launch.sweep]\nprocesses = 7\ngpus = 4")
    assert (config.training.nodes, config.training.processes_per_node) == (1, 2)
