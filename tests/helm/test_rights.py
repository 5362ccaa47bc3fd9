"""What the roles allow is what the code asks of Kubernetes' API: nothing is missing, and nothing is more."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import pytest

from builders.chart import NAMESPACE, Document, cases, named, of_kind, refused, rendered
from mashbill.launch.kubernetes.rights import RIGHTS

BACKENDS = ("job", "jobset", "trainjob", "rayjob")
Allowed = tuple[str, str, str, str]
"""Scope, API group, resource, verb."""
SETS = [chosen for size in (1, 2, 3, 4) for chosen in itertools.combinations(BACKENDS, size)]


def allowed(documents: Iterable[Document], account: str, namespace: str = NAMESPACE) -> set[Allowed]:
    """What an account may do by the roles that are bound to it."""
    documents = list(documents)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    found = set()
    for binding in [d for d in documents if d["kind"] in {"RoleBinding", "ClusterRoleBinding"}]:
        if subject in binding["subjects"]:
            role = named(documents, binding["roleRef"]["kind"], binding["roleRef"]["name"])
            scope = "cluster" if role["kind"] == "ClusterRole" else "namespace"
            found |= {(scope, *what) for what in _of(role["rules"])}
    return found


def _of(rules: Sequence[Document]) -> Iterator[tuple[str, str, str]]:
    for rule in rules:
        yield from itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])


def asked(backends: Iterable[str], *, looks: bool, cluster: bool) -> set[Allowed]:
    """What the code asks."""
    chosen = set(backends)
    found = set()
    for right in RIGHTS:
        switched_on = right.needed or (cluster if right.scope == "cluster" else looks)
        if switched_on and chosen & set(right.backends):
            found |= {(right.scope, right.group, right.resource, verb) for verb in right.verbs}
    return found


def test_every_backend_of_the_table_is_one_that_the_chart_knows() -> None:
    assert {backend for right in RIGHTS for backend in right.backends} == set(BACKENDS)


@pytest.mark.parametrize("cluster", [False, True], ids=["namespace", "cluster"])
@pytest.mark.parametrize("looks", [False, True], ids=["blind", "looks"])
@pytest.mark.parametrize("backends", SETS, ids="+".join)
def test_airflow_s_account_may_do_what_the_code_asks_and_nothing_else(
    backends: tuple[str, ...], looks: bool, cluster: bool
) -> None:
    documents = rendered(
        *("--set", f"rbac.backends={{{','.join(backends)}}},rbac.looks={str(looks).lower()}"),
        *("--set", f"rbac.cluster={str(cluster).lower()},artifacts.s3.credentialsSecret=aws"),
    )
    expected = asked(backends, looks=looks, cluster=cluster)
    assert allowed(documents, "lab-mashbill-airflow") == expected


def test_jobs_may_do_nothing_or_write_a_trainjob_s_status_and_nothing_else() -> None:
    every = ("--set", "rbac.cluster=true,artifacts.s3.credentialsSecret=aws")
    assert allowed(rendered(*every), "lab-mashbill-jobs") == set()
    status = ("namespace", "trainer.kubeflow.org", "trainjobs/status", "patch")
    documents = rendered(*every, "--set", "rbac.trainJobStatus=true")
    assert allowed(documents, "lab-mashbill-jobs") == {status}


def test_a_secret_is_looked_at_only_if_values_name_it() -> None:
    secret = ("namespace", "", "secrets", "get")
    assert secret not in allowed(rendered(), "lab-mashbill-airflow")
    documents = rendered(
        *("--set", "artifacts.s3.credentialsSecret=aws,imagePullSecrets[0].name=registry"),
        *("--set", "rbac.secrets={hub,aws}"),
    )
    [role] = [r for r in of_kind(documents, "Role") if r["metadata"]["name"].endswith("-airflow")]
    rules = [rule for rule in role["rules"] if "secrets" in rule["resources"]]
    assert [rule["resourceNames"] for rule in rules] == [["aws", "hub", "registry"]]
    assert all(rule["resources"] == ["secrets"] and rule["verbs"] == ["get"] for rule in rules)


def test_of_namespaces_only_its_own_is_looked_at() -> None:
    [role] = of_kind(rendered("--set", "rbac.cluster=true"), "ClusterRole")
    [rule] = [rule for rule in role["rules"] if "namespaces" in rule["resources"]]
    assert rule["resourceNames"] == [NAMESPACE]


def test_no_role_has_a_wildcard_or_a_right_that_leads_to_others() -> None:
    leading = {
        "pods/exec",
        "pods/attach",
        "pods/portforward",
        "serviceaccounts/token",
        "roles",
        "rolebindings",
    }
    for arguments in cases().values():
        for role in [d for d in rendered(*arguments) if d["kind"] in {"Role", "ClusterRole"}]:
            for group, resource, verb in _of(role["rules"]):
                assert "*" not in (group, resource, verb)
                assert resource not in leading
                assert (resource, verb) != ("pods", "create")
                assert verb not in {"bind", "escalate", "impersonate", "deletecollection"}


def test_rights_are_of_one_namespace_unless_the_cluster_s_are_asked_for() -> None:
    kinds = {d["kind"] for d in rendered()}
    assert "Role" in kinds
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}
    assert not {d["kind"] for d in rendered("--set", "rbac.create=false")} & {"Role", "RoleBinding"}


def test_airflow_of_another_namespace_is_bound_from_there() -> None:
    documents = rendered("--set", "serviceAccounts.airflow.namespace=airflow")
    everything = asked(BACKENDS, looks=True, cluster=False) - {("namespace", "", "secrets", "get")}
    assert allowed(documents, "lab-mashbill-airflow", "airflow") == everything
    assert allowed(documents, "lab-mashbill-airflow") == set()
    account = named(documents, "ServiceAccount", "lab-mashbill-airflow")
    assert account["metadata"]["namespace"] == "airflow"
    roles = [d for d in documents if d["kind"] in {"Role", "RoleBinding"}]
    assert {d["metadata"].get("namespace", NAMESPACE) for d in roles} == {NAMESPACE}


def test_two_releases_share_no_cluster_wide_name() -> None:
    names = [
        {
            d["metadata"]["name"]
            for d in rendered("--set", "rbac.cluster=true", release=release, namespace=space)
        }
        & {d["metadata"]["name"] for d in of_kind(rendered("--set", "rbac.cluster=true"), "ClusterRole")}
        for release, space in (("lab", "other"), ("other", NAMESPACE))
    ]
    assert names == [set(), set()]


def test_no_backend_at_all_is_refused() -> None:
    assert "at '/rbac/backends'" in refused("--set-json", "rbac.backends=[]")
