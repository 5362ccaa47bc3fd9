"""A node learns which it is from mashbill's variables, an Indexed Job's or those of Kubeflow's trainer."""

import pytest

from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError
from mashbill.launch.needs import A_GPU, IN_ORDER, MACHINES, jobs_of, processes_of
from mashbill.launch.node import Node

OURS = {"MASHBILL_NODE": "2", "MASHBILL_NODES": "4", "MASHBILL_RENDEZVOUS": "lead:29400"}
TRAINER = {
    "PET_NNODES": "4",
    "PET_NODE_RANK": "3",
    "PET_MASTER_ADDR": "lead.svc",
    "PET_MASTER_PORT": "29500",
    "PET_NPROC_PER_NODE": "8",
}


@pytest.mark.parametrize(
    "environment, node",
    [
        ({}, Node()),
        (OURS, Node(2, 4, "lead:29400")),
        (TRAINER, Node(3, 4, "lead.svc:29500")),
        ({**TRAINER, **OURS}, Node(2, 4, "lead:29400")),
        (
            {"JOB_COMPLETION_INDEX": "1", "MASHBILL_NODES": "2", "MASHBILL_RENDEZVOUS": "a:1"},
            Node(1, 2, "a:1"),
        ),
        ({"PET_NNODES": "1", "PET_NODE_RANK": "0", "PET_MASTER_ADDR": "a", "PET_MASTER_PORT": "1"}, Node()),
    ],
)
def test_it_is_told_in_each_of_three_ways(environment: dict[str, str], node: Node) -> None:
    assert Node.told(environment) == node


@pytest.mark.parametrize(
    "environment, words",
    [
        (
            {"MASHBILL_NODE": "2", "MASHBILL_NODES": "2"},
            "MASHBILL_NODE: 2 is none of 2 nodes; number them from 0",
        ),
        ({"JOB_COMPLETION_INDEX": "3"}, "MASHBILL_NODE: 3 is none of 1 nodes"),
        ({"PET_NNODES": "2:4"}, "PET_NNODES: '2:4' is no number"),
        ({"MASHBILL_NODE": "-1"}, "MASHBILL_NODE: '-1' is no number"),
    ],
)
def test_what_is_no_node_is_one_line(environment: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Node.told(environment)


def test_what_torchrun_would_read_as_its_own_arguments_is_taken_away() -> None:
    environment = {**TRAINER, "PATH": "/bin"}
    Node.here(environment)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("jobs, sizes", [(1, [7]), (2, [3, 4]), (3, [2, 2, 3]), (7, [1] * 7), (32, [1] * 7)])
def test_neighbouring_parts_share_jobs_as_evenly_as_can_be(jobs: int, sizes: list[int]) -> None:
    parts = list("abcdefg")
    takes = LaunchConfig(backend="job", image="i", max_jobs=jobs)
    shared = jobs_of(parts, takes, A_GPU)
    assert [part for batch in shared for part in batch] == parts
    assert [len(batch) for batch in shared] == sizes
    assert len(jobs_of(parts, takes, MACHINES)) == len(sizes)
    assert jobs_of(parts, takes, IN_ORDER) == [tuple(parts)]
    assert jobs_of(parts, LaunchConfig(max_jobs=jobs), A_GPU) == [tuple(parts)]
    assert jobs_of([], takes, A_GPU) == []


@pytest.mark.parametrize(
    "takes, processes",
    [
        ({}, 1),
        ({"cpus": "500m"}, 1),
        ({"cpus": "3500m"}, 3),
        ({"cpus": "16"}, 16),
        ({"cpus": "2.5"}, 2),
        ({"cpus": "16", "gpus": 8}, 8),
        ({"cpus": "16", "gpus": 8, "processes": 4}, 4),
    ],
)
def test_as_many_parts_side_by_side_as_there_are_gpus_or_cores(
    takes: dict[str, str | int], processes: int
) -> None:
    assert processes_of(LaunchConfig.model_validate(takes)) == processes
