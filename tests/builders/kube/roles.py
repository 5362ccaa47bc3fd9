"""Roles and bindings that every cluster has from its beginning."""

from typing import Any

from builders.kube.kinds import RBAC

Object = dict[str, Any]
READ = ["get", "list", "watch"]
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
PATHS = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz"]
VERSION_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
VIEWED = [
    (
        "",
        [
            *("configmaps", "endpoints", "events", "limitranges", "namespaces", "namespaces/status", "pods"),
            *("persistentvolumeclaims", "persistentvolumeclaims/status", "pods/log", "pods/status"),
            *("resourcequotas", "resourcequotas/status", "serviceaccounts", "services", "services/status"),
        ],
    ),
    (
        "apps",
        [
            *("daemonsets", "daemonsets/status", "deployments", "deployments/scale", "deployments/status"),
            *("replicasets", "replicasets/scale", "replicasets/status", "statefulsets", "statefulsets/scale"),
            "statefulsets/status",
        ],
    ),
    ("batch", ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    ("networking.k8s.io", ["ingresses", "ingresses/status", "networkpolicies"]),
    ("policy", ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    ("discovery.k8s.io", ["endpointslices"]),
]
EDITED = [
    (
        "",
        [
            *("configmaps", "events", "persistentvolumeclaims", "pods", "pods/eviction", "pods/exec"),
            *("secrets", "serviceaccounts", "services"),
        ],
    ),
    (
        "apps",
        [
            "daemonsets",
            "deployments",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    ("batch", ["cronjobs", "jobs"]),
    ("networking.k8s.io", ["ingresses", "networkpolicies"]),
    ("policy", ["poddisruptionbudgets"]),
    ("coordination.k8s.io", ["leases"]),
]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _role(name: str, rules: list[Object], *, grows: bool = False) -> Object:
    """A role; one that grows has what cluster roles give it by their labels."""
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    selector = {"matchLabels": {f"{RBAC}/aggregate-to-{name}": "true"}}
    return {
        **({"aggregationRule": {"clusterRoleSelectors": [selector]}} if grows else {}),
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        "rules": rules,
    }


def _binding(name: str, role: str, *groups: str) -> Object:
    subjects = [{"kind": "Group", "apiGroup": RBAC, "name": group} for group in groups]
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    }


VIEW = [_rule(group, resources, READ) for group, resources in VIEWED]
EDIT = [
    *VIEW,
    _rule("", ["secrets"], READ),
    _rule("", ["serviceaccounts"], ["impersonate"]),
    *(_rule(group, resources, WRITE) for group, resources in EDITED),
]
ADMIN = [
    *EDIT,
    _rule(RBAC, ["rolebindings", "roles"], [*READ, *WRITE]),
    _rule("authorization.k8s.io", ["localsubjectaccessreviews"], ["create"]),
]
ROLES = (
    _role(
        "cluster-admin",
        [_rule("*", ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    ),
    _role("view", VIEW, grows=True),
    _role("edit", EDIT, grows=True),
    _role("admin", ADMIN, grows=True),
    _role("system:discovery", [{"nonResourceURLs": [*PATHS, "/version", "/version/"], "verbs": ["get"]}]),
    _role("system:public-info-viewer", [{"nonResourceURLs": VERSION_PATHS, "verbs": ["get"]}]),
    _role(
        "system:basic-user",
        [
            _rule(
                "authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]
            ),
            _rule("authentication.k8s.io", ["selfsubjectreviews"], ["create"]),
        ],
    ),
)
BINDINGS = (
    _binding("cluster-admin", "cluster-admin", "system:masters"),
    _binding("system:discovery", "system:discovery", "system:authenticated"),
    _binding("system:basic-user", "system:basic-user", "system:authenticated"),
    _binding(
        "system:public-info-viewer",
        "system:public-info-viewer",
        "system:authenticated",
        "system:unauthenticated",
    ),
)
