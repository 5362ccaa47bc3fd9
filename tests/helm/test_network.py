"""Who reaches whom under the chart's network policies, by Kubernetes' rules: a pod that a policy selects is
reached, and reaches, only as some policy allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from builders.chart import NAMESPACE, Document, cases, of_kind, rendered

RAY = {"ray.io/cluster": "lab-mashbill-ray"}
JOB = {"app.kubernetes.io/managed-by": "mashbill", "mashbill.dev/job": "train"}
SWITCHES = "networkPolicies.enabled=true,ray.enabled=true"


@dataclass(frozen=True)
class Peer:
    """A pod, or an address outside the cluster, which has no labels."""

    labels: dict[str, str]
    namespace: str = NAMESPACE

    @property
    def outside(self) -> bool:
        return not self.namespace


TRAINING, RAY_POD = Peer(JOB), Peer(RAY)
TASK = Peer({"tier": "airflow", "component": "worker"})
OPERATOR = Peer({"app.kubernetes.io/name": "kuberay"}, "kuberay-system")
STRANGER = Peer({"app": "web"})
NEIGHBOUR = Peer(JOB, "elsewhere")
OUTSIDE = Peer({}, "")


def selects(selector: Document, labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels"}
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def is_peer(rule: Document, peer: Peer) -> bool:
    """Whether an entry of from or to is this peer, in the policy's own namespace unless it names others."""
    if peer.outside:
        return "ipBlock" in rule
    names = {"kubernetes.io/metadata.name": peer.namespace}
    near = (
        selects(rule["namespaceSelector"], names)
        if "namespaceSelector" in rule
        else peer.namespace == NAMESPACE
    )
    return near and selects(rule.get("podSelector", {}), peer.labels)


def passes(rules: Sequence[Document], side: str, peer: Peer, port: int) -> bool:
    return any(
        (side not in rule or any(is_peer(entry, peer) for entry in rule[side]))
        and ("ports" not in rule or port in {allowed["port"] for allowed in rule["ports"]})
        for rule in rules
    )


def reaches(policies: Sequence[Document], source: Peer, target: Peer, port: int) -> bool:
    """Whether a connection is let through by both its ends."""

    def of(peer: Peer, kind: str) -> list[Document]:
        here = [] if peer.namespace != NAMESPACE else policies
        return [
            p["spec"]
            for p in here
            if kind in p["spec"]["policyTypes"] and selects(p["spec"]["podSelector"], peer.labels)
        ]

    leaving, entering = of(source, "Egress"), of(target, "Ingress")
    out = not leaving or any(passes(p["egress"], "to", target, port) for p in leaving)
    into = not entering or any(passes(p["ingress"], "from", source, port) for p in entering)
    return out and into


@pytest.mark.parametrize(
    ("source", "target", "port", "expected"),
    [
        (TRAINING, TRAINING, 29_400, True),  # where nodes meet
        (TRAINING, TRAINING, 51_234, True),  # NCCL takes any port
        (RAY_POD, RAY_POD, 6379, True),
        (RAY_POD, RAY_POD, 40_000, True),
        (TASK, RAY_POD, 8265, True),  # the job API
        (TASK, RAY_POD, 10_001, False),  # a Ray client runs code
        (TASK, TRAINING, 29_400, False),
        (OPERATOR, RAY_POD, 8265, True),
        (OPERATOR, TRAINING, 8265, False),
        (STRANGER, RAY_POD, 8265, False),
        (STRANGER, TRAINING, 29_400, False),
        (NEIGHBOUR, TRAINING, 29_400, False),  # a job of another namespace
        (Peer({"tier": "airflow"}, "elsewhere"), RAY_POD, 8265, False),
        (OUTSIDE, TRAINING, 29_400, False),
        (TRAINING, STRANGER, 5432, False),
        (TRAINING, RAY_POD, 8265, False),
        (TRAINING, OUTSIDE, 443, True),  # S3
        (TRAINING, OUTSIDE, 53, True),
        (TRAINING, OUTSIDE, 22, False),
        (TRAINING, OUTSIDE, 9000, False),
        (STRANGER, OUTSIDE, 22, True),  # none of ours
    ],
)
def test_pods_reach_what_they_need_and_no_more(source: Peer, target: Peer, port: int, expected: bool) -> None:
    policies = of_kind(rendered("--set", SWITCHES), "NetworkPolicy")
    assert reaches(policies, source, target, port) is expected


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("http://minio:9000", 9000),
        ("https://minio.storage.svc:9443/", 9443),
        ("http://minio", 80),
        ("https://minio", 443),
    ],
)
def test_port_of_the_store_is_open_without_being_named(address: str, port: int) -> None:
    policies = of_kind(rendered("--set", f"{SWITCHES},artifacts.s3.endpointUrl={address}"), "NetworkPolicy")
    for pod in (TRAINING, RAY_POD):
        assert reaches(policies, pod, OUTSIDE, port)
        assert not reaches(policies, pod, OUTSIDE, 9001)


def test_further_rules_open_what_they_say() -> None:
    rule = '[{"to":[{"podSelector":{"matchLabels":{"app":"web"}}}],"ports":[{"port":5432,"protocol":"TCP"}]}]'
    further = ("--set", SWITCHES, "--set-json", f"networkPolicies.egress={rule}")
    policies = of_kind(rendered(*further), "NetworkPolicy")
    assert reaches(policies, TRAINING, STRANGER, 5432)
    assert not reaches(policies, TRAINING, STRANGER, 22)


def test_airflow_of_another_namespace_reaches_ray_from_there() -> None:
    policies = of_kind(
        rendered("--set", f"{SWITCHES},serviceAccounts.airflow.namespace=airflow"), "NetworkPolicy"
    )
    assert reaches(policies, Peer(TASK.labels, "airflow"), RAY_POD, 8265)
    assert not reaches(policies, TASK, RAY_POD, 8265)


def test_airflow_is_known_by_the_labels_that_values_say() -> None:
    named = f"{SWITCHES},networkPolicies.airflow.tier=team,networkPolicies.airflow.component=worker"
    policies = of_kind(rendered("--set", named), "NetworkPolicy")
    assert reaches(policies, Peer({"tier": "team", "component": "worker"}), RAY_POD, 8265)
    for other in (TASK, Peer({"tier": "team"})):
        assert not reaches(policies, other, RAY_POD, 8265)


@pytest.mark.parametrize("case", sorted(cases()))
def test_ports_are_named_once(case: str) -> None:
    for policy in of_kind(rendered(*cases()[case]), "NetworkPolicy"):
        for rule in policy["spec"]["egress"]:
            ports = [(entry["port"], entry["protocol"]) for entry in rule.get("ports", [])]
            assert len(ports) == len(set(ports))
            assert all(type(port) is int for port, _ in ports)
