"""Protobuf messages of built-in kinds, as far as kubectl and helm send them: fields by their numbers.

Source: the files generated.proto of k8s.io/api and k8s.io/apimachinery.
"""

TIME = "Time"
STRING_MAP, BYTES_MAP, QUANTITY_MAP = "map of strings", "map of bytes", "map of quantities"
NUMBER, PORT, IGNORED = "number, 0 where it is left out", "number or name", "ignored"
Field = tuple[str, str]
"""Name in JSON, and type; ``[]`` before the type of what there may be several of."""
MESSAGES: dict[str, dict[int, Field]] = {
    "TypeMeta": {1: ("apiVersion", "string"), 2: ("kind", "string")},
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        7: ("generation", NUMBER),
        8: ("creationTimestamp", TIME),
        9: ("deletionTimestamp", TIME),
        10: ("deletionGracePeriodSeconds", "int"),
        11: ("labels", STRING_MAP),
        12: ("annotations", STRING_MAP),
        13: ("ownerReferences", "[]OwnerReference"),
        14: ("finalizers", "[]string"),
        17: ("", IGNORED),
    },
    "OwnerReference": {
        1: ("kind", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        5: ("apiVersion", "string"),
        6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "ResourceAttributes": {
        number: (name, "string")
        for number, name in enumerate(
            ("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1
        )
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    "AccessSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
        3: ("user", "string"),
        4: ("groups", "[]string"),
    },
    "RulesSpec": {1: ("namespace", "string")},
    "TokenRequestSpec": {1: ("audiences", "[]string"), 4: ("expirationSeconds", "int")},
    "TokenReviewSpec": {1: ("token", "string"), 2: ("audiences", "[]string")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "[]string"),
    },
    "Preconditions": {1: ("uid", "string"), 2: ("resourceVersion", "string")},
    "NamespaceSpec": {1: ("finalizers", "[]string")},
    "PolicyRule": {
        number: (name, "[]string")
        for number, name in enumerate(
            ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), 1
        )
    },
    "Subject": {
        number: (name, "string") for number, name in enumerate(("kind", "apiGroup", "name", "namespace"), 1)
    },
    "RoleRef": {number: (name, "string") for number, name in enumerate(("apiGroup", "kind", "name"), 1)},
    "ScaleSpec": {1: ("replicas", "int")},
    "LocalObjectReference": {1: ("name", "string")},
    "JobSpec": {
        1: ("parallelism", "int"),
        2: ("completions", "int"),
        3: ("activeDeadlineSeconds", "int"),
        6: ("template", "PodTemplateSpec"),
        7: ("backoffLimit", "int"),
        8: ("ttlSecondsAfterFinished", "int"),
        9: ("completionMode", "string"),
        10: ("suspend", "bool"),
    },
    "PodTemplateSpec": {1: ("metadata", "ObjectMeta"), 2: ("spec", "PodSpec")},
    "PodSpec": {2: ("containers", "[]Container"), 3: ("restartPolicy", "string")},
    "Container": {
        1: ("name", "string"),
        2: ("image", "string"),
        3: ("command", "[]string"),
        4: ("args", "[]string"),
        6: ("ports", "[]ContainerPort"),
    },
    "ContainerPort": {
        1: ("name", "string"),
        2: ("hostPort", NUMBER),
        3: ("containerPort", "int"),
        4: ("protocol", "string"),
    },
    "DeploymentSpec": {
        1: ("replicas", "int"),
        2: ("selector", "LabelSelector"),
        3: ("template", "PodTemplateSpec"),
    },
    "LabelSelector": {1: ("matchLabels", STRING_MAP)},
    "ServiceSpec": {
        1: ("ports", "[]ServicePort"),
        2: ("selector", STRING_MAP),
        3: ("clusterIP", "string"),
        4: ("type", "string"),
    },
    "ServicePort": {
        1: ("name", "string"),
        2: ("protocol", "string"),
        3: ("port", "int"),
        4: ("targetPort", PORT),
        5: ("nodePort", NUMBER),
    },
    "ResourceQuotaSpec": {1: ("hard", QUANTITY_MAP), 2: ("scopes", "[]string")},
}
_REVIEW: dict[int, Field] = {2: ("spec", "AccessSpec"), 3: ("", IGNORED)}
_ROLE: dict[int, Field] = {2: ("rules", "[]PolicyRule")}
_BINDING: dict[int, Field] = {2: ("subjects", "[]Subject"), 3: ("roleRef", "RoleRef")}
KINDS: dict[str, dict[int, Field]] = {
    "SelfSubjectAccessReview": _REVIEW,
    "SubjectAccessReview": _REVIEW,
    "LocalSubjectAccessReview": _REVIEW,
    "SelfSubjectRulesReview": {2: ("spec", "RulesSpec"), 3: ("", IGNORED)},
    "SelfSubjectReview": {2: ("", IGNORED)},
    "TokenRequest": {2: ("spec", "TokenRequestSpec"), 3: ("", IGNORED)},
    "TokenReview": {2: ("spec", "TokenReviewSpec"), 3: ("", IGNORED)},
    "Eviction": {2: ("deleteOptions", "DeleteOptions")},
    "Scale": {2: ("spec", "ScaleSpec"), 3: ("", IGNORED)},
    "Namespace": {2: ("spec", "NamespaceSpec"), 3: ("", IGNORED)},
    "ConfigMap": {2: ("data", STRING_MAP), 3: ("binaryData", BYTES_MAP), 4: ("immutable", "bool")},
    "Secret": {
        2: ("data", BYTES_MAP),
        3: ("type", "string"),
        4: ("stringData", STRING_MAP),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {
        3: ("imagePullSecrets", "[]LocalObjectReference"),
        4: ("automountServiceAccountToken", "bool"),
    },
    "Job": {2: ("spec", "JobSpec"), 3: ("", IGNORED)},
    "Deployment": {2: ("spec", "DeploymentSpec"), 3: ("", IGNORED)},
    "Service": {2: ("spec", "ServiceSpec"), 3: ("", IGNORED)},
    "ResourceQuota": {2: ("spec", "ResourceQuotaSpec"), 3: ("", IGNORED)},
    "PriorityClass": {
        2: ("value", "int"),
        3: ("globalDefault", "bool"),
        4: ("description", "string"),
        5: ("preemptionPolicy", "string"),
    },
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
}
"""Fields of kinds beside ``metadata``, which is always the first."""
