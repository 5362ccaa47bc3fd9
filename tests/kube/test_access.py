"""Rights: what roles and bindings allow, how a refusal reads, what reviews answer."""

import pytest
from kubernetes import client

from builders.kube import KubernetesApi
from builders.kube.clients import client_of, refusal
from builders.kube.samples import job, pod

RBAC = "rbac.authorization.k8s.io"


def role(name: str, *rules: dict[str, object], namespace: str = "default") -> dict[str, object]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)}


def binding(name: str, account: str, kind: str = "Role", namespace: str = "default") -> dict[str, object]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
    }


def account(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}


def rule(group: str, resources: str, verbs: str, **more: object) -> dict[str, object]:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split(), **more}


@pytest.fixture
def runner(api: KubernetesApi) -> client.ApiClient:
    """A client of an account that may watch pods, read their logs, and change one job."""
    api.put(account("runner"))
    rules = [rule("", "pods", "get list watch"), rule("", "pods/log", "get")]
    rules += [rule("batch", "jobs", "create"), rule("batch", "jobs", "get patch", resourceNames=["mine"])]
    api.put(role("run", *rules), binding("run", "runner"))
    return client_of(api, api.account_token("default", "runner"))


def test_role_allows_what_it_names_and_nothing_beside(api: KubernetesApi, runner: client.ApiClient) -> None:
    core, batch = client.CoreV1Api(runner), client.BatchV1Api(runner)
    assert core.list_namespaced_pod("default").items == []
    batch.create_namespaced_job("default", job("mine"))
    batch.patch_namespaced_job("mine", "default", {"spec": {"suspend": True}})
    who = 'User "system:serviceaccount:default:runner" cannot'
    told = refusal(core.create_namespaced_pod, "default", pod("p"))
    words = f'{who} create resource "pods" in API group "" in the namespace "default"'
    assert told == (403, "Forbidden", f"pods is forbidden: {words}")
    told = refusal(batch.read_namespaced_job, "other", "default")
    words = f'{who} get resource "jobs" in API group "batch" in the namespace "default"'
    assert told == (403, "Forbidden", f'jobs.batch "other" is forbidden: {words}')
    told = refusal(batch.patch_namespaced_job_status, "mine", "default", {"status": {}})
    words = f'{who} patch resource "jobs/status" in API group "batch" in the namespace "default"'
    assert told == (403, "Forbidden", f'jobs.batch "mine" is forbidden: {words}')
    assert refusal(core.list_namespaced_pod, "kube-system")[0] == 403
    told = refusal(core.list_node)
    words = f'{who} list resource "nodes" in API group "" at the cluster scope'
    assert told == (403, "Forbidden", f"nodes is forbidden: {words}")


def test_right_to_an_object_is_not_told_from_its_absence(runner: client.ApiClient) -> None:
    batch = client.BatchV1Api(runner)
    assert refusal(batch.read_namespaced_job, "mine", "default")[0] == 404
    assert refusal(batch.read_namespaced_job, "lost", "default")[0] == 403


def test_review_answers_what_the_server_does(runner: client.ApiClient) -> None:
    reviews = client.AuthorizationV1Api(runner)

    def may(verb: str, resource: str, namespace: str = "default", **more: str) -> bool:
        attributes = {"verb": verb, "resource": resource, "namespace": namespace, **more}
        review = reviews.create_self_subject_access_review({"spec": {"resourceAttributes": attributes}})
        return review.status.allowed

    assert may("list", "pods")
    assert may("get", "pods", subresource="log")
    assert may("create", "jobs", group="batch")
    assert may("get", "jobs", group="batch", name="mine")
    assert not may("get", "jobs", group="batch")
    assert not may("list", "pods", "kube-system")
    assert not may("list", "pods", "")
    assert not may("delete", "pods")
    assert not may("create", "jobs")
    assert not may("list", "pods", group="metrics.k8s.io")
    rules = reviews.create_self_subject_rules_review({"spec": {"namespace": "default"}}).status.resource_rules
    assert ["get", "list", "watch"] in [one.verbs for one in rules if one.resources == ["pods"]]


def test_cluster_role_bound_in_a_namespace_holds_there_only(api: KubernetesApi) -> None:
    api.put(account("editor"), binding("edit", "editor", "ClusterRole"))
    core = client.CoreV1Api(client_of(api, api.account_token("default", "editor")))
    core.create_namespaced_pod("default", pod("p"))
    assert refusal(core.create_namespaced_pod, "kube-system", pod("p"))[0] == 403
    assert refusal(core.list_namespaced_resource_quota, "kube-system")[0] == 403


def test_role_that_grows_has_what_labelled_ones_give(api: KubernetesApi) -> None:
    api.put(account("editor"), binding("edit", "editor", "ClusterRole"))
    custom = client.CustomObjectsApi(client_of(api, api.account_token("default", "editor")))
    place = ("jobset.x-k8s.io", "v1alpha2", "default", "jobsets")
    assert refusal(custom.list_namespaced_custom_object, *place)[0] == 403
    metadata = {"name": "jobset-editor", "labels": {f"{RBAC}/aggregate-to-edit": "true"}}
    rules = [rule("jobset.x-k8s.io", "jobsets", "list")]
    api.put({"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules})
    assert custom.list_namespaced_custom_object(*place)["items"] == []


def test_nobody_gives_rights_that_they_have_not(api: KubernetesApi) -> None:
    api.put(account("admin"), binding("admin", "admin", "ClusterRole"))
    roles = client.RbacAuthorizationV1Api(client_of(api, api.account_token("default", "admin")))
    roles.create_namespaced_role("default", role("fine", rule("", "pods", "get")))
    code, _, message = refusal(
        roles.create_namespaced_role, "default", role("more", rule("", "nodes", "get"))
    )
    assert code == 403
    assert "is attempting to grant RBAC permissions not currently held" in message
    assert '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}' in message
    api.put(role("strong", rule("*", "*", "*")))
    assert refusal(roles.create_namespaced_role_binding, "default", binding("strong", "admin"))[0] == 403


def test_what_a_binding_binds_to_is_fixed(api: KubernetesApi) -> None:
    api.put(account("a"), binding("view", "a", "ClusterRole"))
    roles = client.RbacAuthorizationV1Api(client_of(api))
    change = {"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "edit"}}
    code, _, message = refusal(roles.patch_namespaced_role_binding, "view", "default", change)
    assert code == 422
    assert message.endswith("cannot change roleRef")


def test_token_ends_with_its_account(api: KubernetesApi, runner: client.ApiClient) -> None:
    core = client.CoreV1Api(runner)
    core.list_namespaced_pod("default")
    client.CoreV1Api(client_of(api)).delete_namespaced_service_account("runner", "default")
    assert refusal(core.list_namespaced_pod, "default") == (401, "Unauthorized", "Unauthorized")


def test_token_that_was_asked_for_is_the_accounts(api: KubernetesApi, core: client.CoreV1Api) -> None:
    request = core.create_namespaced_service_account_token("default", "default", {"spec": {"audiences": []}})
    who = client.AuthenticationV1Api(client_of(api, request.status.token)).create_self_subject_review({})
    assert who.status.user_info.username == "system:serviceaccount:default:default"
    assert "system:serviceaccounts:default" in who.status.user_info.groups
    review = client.AuthenticationV1Api(client_of(api)).create_token_review(
        {"spec": {"token": request.status.token}}
    )
    assert review.status.authenticated


def test_groups_and_people_are_bound_too(api: KubernetesApi) -> None:
    bound = binding("view", "", "ClusterRole")
    bound["subjects"] = [{"kind": "Group", "apiGroup": RBAC, "name": "researchers"}]
    api.put(bound)
    for groups, code in ((("researchers",), 200), ((), 403)):
        core = client.CoreV1Api(client_of(api, api.user_token("ada", *groups)))
        if code == 200:
            core.list_namespaced_pod("default")
        else:
            assert refusal(core.list_namespaced_pod, "default")[0] == code


def test_every_request_is_in_the_audit(api: KubernetesApi, runner: client.ApiClient) -> None:
    core = client.CoreV1Api(runner)
    del api.audit[:]
    core.list_namespaced_pod("default", label_selector="a=b")
    refusal(core.read_namespaced_pod_log, "p", "default")
    refusal(core.delete_namespaced_pod, "p", "default")
    told = [
        (c.user.rpartition(":")[2], c.verb, c.group, c.resource, c.subresource, c.namespace, c.name)
        for c in api.audit
    ]
    assert told == [
        ("runner", "list", "", "pods", "", "default", ""),
        ("runner", "get", "", "pods", "log", "default", "p"),
        ("runner", "delete", "", "pods", "", "default", "p"),
    ]
