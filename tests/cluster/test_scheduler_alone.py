"""The scheduler without a cluster: pods and nodes in, a node or a reason out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.cluster.changes import Bind
from builders.cluster.kinds import Object
from builders.cluster.quantities import requests_of, thousandths
from builders.cluster.samples import labelled, pod, stored
from builders.cluster.scheduler import Cluster, schedule


def node(name: str, *, gpus: int = 0, labels: Object | None = None) -> Object:
    has = {"cpu": "8", "memory": "32Gi", "pods": "10", "nvidia.com/gpu": str(gpus)}
    meta = {"name": name, "labels": labels or {}}
    return {"kind": "Node", "metadata": meta, "spec": {}, "status": {"allocatable": has}}


def placed(one: Object, nodes: list[Object], pods: list[Object]) -> str:
    """The node that a pod is put on; empty where it is put on none."""
    wanted = schedule(one, Cluster(nodes, pods))
    return next((change.node for change in wanted.changes if isinstance(change, Bind)), "")


def required(kind: str, *terms: Object) -> Object:
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


RACKS = [node("a", labels={"rack": "1"}), node("b", labels={"rack": "1"}), node("c", labels={"rack": "2"})]
SAME = {"labelSelector": {"matchLabels": {"job": "train"}}}


def test_pods_that_want_one_another_share_what_the_topology_says() -> None:
    together = required("podAffinity", {**SAME, "topologyKey": "rack"})
    assert placed(labelled("first", **together), RACKS, [])
    assert placed(labelled("second", **together), RACKS, [labelled("first", on="c")]) == "c"
    busy = [labelled("first", on="a")]
    assert placed(labelled("second", **together), RACKS, busy) == "b"


def test_pods_that_do_not_want_one_another_are_apart() -> None:
    apart = required("podAntiAffinity", {**SAME, "topologyKey": "rack"})
    assert placed(labelled("second", **apart), RACKS, [labelled("first", on="a")]) == "c"
    both = [labelled("first", on="a"), labelled("second", on="c")]
    assert placed(labelled("third", **apart), RACKS, both) == ""


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"operator": "In", "values": ["1", "3"]}, {"a", "b"}),
        ({"operator": "NotIn", "values": ["1"]}, {"c", "d"}),
        ({"operator": "Exists"}, {"a", "b", "c"}),
        ({"operator": "DoesNotExist"}, {"d"}),
        ({"operator": "Gt", "values": ["1"]}, {"c"}),
    ],
)
def test_a_node_affinity_is_heeded(expression: Object, fits: set[str]) -> None:
    term = {"matchExpressions": [{"key": "rack", **expression}]}
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    }
    one = labelled("p", affinity=affinity)
    assert {
        name
        for name in "abcd"
        if placed(one, [n for n in [*RACKS, node("d")] if n["metadata"]["name"] == name], [])
    } == fits


@given(st.lists(st.integers(0, 4), max_size=12))
def test_no_node_is_given_more_gpus_than_it_has(asked: list[int]) -> None:
    nodes = [node("a", gpus=4), node("b", gpus=4)]
    pods: list[Object] = []
    for at, count in enumerate(asked):
        limits = {"limits": {"nvidia.com/gpu": str(count)}}
        one = stored(pod(f"p{at}", resources=limits))
        name = placed(one, nodes, pods)
        if name:
            pods.append({**one, "spec": {**one["spec"], "nodeName": name}})
    for name in "ab":
        here = [one for one in pods if one["spec"]["nodeName"] == name]
        assert sum(requests_of(one)["nvidia.com/gpu"] for one in here) <= 4_000
        assert len(here) <= 10


def test_a_pods_init_containers_ask_for_the_most_of_them_not_for_the_sum() -> None:
    first = {"name": "i", "image": "x", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}
    one = pod(
        "p", spec={"initContainers": [first, first]}, resources={"requests": {"cpu": "2", "memory": "2Gi"}}
    )
    assert requests_of(one) == {"cpu": 3_000, "memory": 2 * 1024**3 * 1000, "pods": 1000}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500m", 500),
        ("2", 2_000),
        ("1.5", 1_500),
        ("1k", 1_000_000),
        ("1Ki", 1_024_000),
        ("0.1m", 1),
        ("2e3", 2_000_000),
    ],
)
def test_an_amount_in_thousandths(text: str, amount: int) -> None:
    assert thousandths(text) == amount
