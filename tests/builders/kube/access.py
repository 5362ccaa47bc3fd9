"""Who may do what: bearer tokens told apart, and roles and their bindings weighed as RBAC does."""

import base64
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from builders.kube.calls import Call, User
from builders.kube.kinds import RBAC
from builders.kube.selectors import matches_labels
from builders.kube.status import ApiError, forbidden
from builders.kube.store import Object, Store

MASTERS, AUTHENTICATED = "system:masters", "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ROLES = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
BEARER = re.compile(r"^bearer ", re.IGNORECASE)
"""What comes before a token; the client in a pod writes it small."""


@dataclass(frozen=True)
class Rule:
    """One rule of a role."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rule: Object) -> "Rule":
        lists = [
            rule.get(n, []) for n in ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        ]
        return cls(*map(frozenset, lists))

    def allows(self, call: Call) -> bool:
        """Whether a call is within it."""
        if not {"*", call.verb} & self.verbs:
            return False
        if not call.resourceful:
            return any(_covers(path, call.path) for path in self.paths)
        resource = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
        named = {"*", resource} | ({f"*/{call.subresource}"} if call.subresource else set())
        return bool(
            {"*", call.group} & self.groups
            and named & self.resources
            and (not self.names or call.name in self.names)
        )


def _covers(pattern: str, path: str) -> bool:
    return pattern == path or (pattern.endswith("*") and path.startswith(pattern[:-1]))


class Access:
    """Tokens and rights."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.enforced = True
        self._tokens: dict[str, User] = {}
        self._count = itertools.count(1)

    def issue(self, user: User) -> str:
        """A new token of a user; looks like a JWT and is none."""
        claims = json.dumps({"sub": user.name, "jti": next(self._count)}).encode()
        token = f"test.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.x"
        self._tokens[token] = user
        return token

    def account_token(self, namespace: str, name: str) -> str:
        """A new token of a service account."""
        return self.issue(account_user(namespace, name))

    def revoke(self, token: str) -> None:
        """A token that has expired."""
        self._tokens.pop(token, None)

    def authenticated(self, header: str | None) -> User:
        """Who a request is of.

        Raises:
            ApiError: 401 for a token that is nobody's, or whose service account is gone.
        """
        if not header:
            return ANONYMOUS
        user = self._tokens.get(BEARER.sub("", header).strip())
        if user is None or not self._is_there(user):
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user

    def impersonated(self, user: User, name: str, groups: tuple[str, ...]) -> User:
        """Who a request is to be of, where it says that it is another's.

        Raises:
            ApiError: 403.
        """
        if not name:
            return user
        account = name.split(":") if name.startswith("system:serviceaccount:") else []
        what = ("serviceaccounts", account[2], account[3]) if len(account) == 4 else ("users", "", name)
        self.check(user, Call(user.name, "impersonate", "", "v1", what[0], "", what[1], what[2]))
        if len(account) == 4:
            return account_user(account[2], account[3])
        for group in groups:
            self.check(user, Call(user.name, "impersonate", "", "v1", "groups", "", "", group))
        return User(name, (*groups, AUTHENTICATED))

    def _is_there(self, user: User) -> bool:
        prefix, _, rest = user.name.partition("system:serviceaccount:")
        if prefix or not rest:
            return True
        namespace, _, name = rest.partition(":")
        return self.store.get("serviceaccounts", (namespace, name)) is not None

    def check(self, user: User, call: Call) -> None:
        """Refuse what no role allows.

        Raises:
            ApiError: 403.
        """
        if not self.allows(user, call):
            raise refusal(call)

    def allows(self, user: User, call: Call) -> bool:
        """Whether a user may do something."""
        if not self.enforced or MASTERS in user.groups:
            return True
        return any(rule.allows(call) for rule in self.rules(user, call.namespace))

    def rules(self, user: User, namespace: str = "") -> Iterator[Rule]:
        """Every rule that holds for a user in a namespace, or in the whole cluster."""
        for binding in self.store.all(f"clusterrolebindings.{RBAC}"):
            if _binds(binding, user):
                yield from self._role_rules("", binding["roleRef"])
        for binding in self.store.all(f"rolebindings.{RBAC}") if namespace else []:
            if binding["metadata"]["namespace"] == namespace and _binds(binding, user):
                yield from self._role_rules(namespace, binding["roleRef"])

    def _role_rules(self, namespace: str, reference: Object) -> Iterator[Rule]:
        plural = "roles" if reference["kind"] == "Role" else "clusterroles"
        key = (namespace if plural == "roles" else "", reference["name"])
        role = self.store.get(f"{plural}.{RBAC}", key) or {}
        yield from map(Rule.of, role.get("rules") or [])
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        for other in self.store.all(f"clusterroles.{RBAC}") if selectors else []:
            labels = other["metadata"].get("labels") or {}
            if other is not role and any(matches_labels(selector, labels) for selector in selectors):
                yield from map(Rule.of, other.get("rules") or [])

    def check_grant(self, user: User, item: Object) -> None:
        """Refuse a role or a binding that gives what its maker has not.

        Raises:
            ApiError: 403.
        """
        if not self.enforced or MASTERS in user.groups:
            return
        namespace = item["metadata"].get("namespace", "")
        name, kind = item["metadata"]["name"], item["kind"]
        plural = f"{kind.lower()}s"
        verb = "bind" if "roleRef" in item else "escalate"
        target = item.get("roleRef", {"kind": kind, "name": name})
        call = Call(user.name, verb, RBAC, "v1", f"{target['kind'].lower()}s", "", namespace, target["name"])
        if self.allows(user, call):
            return
        given = (
            self._role_rules(namespace, item["roleRef"])
            if "roleRef" in item
            else map(Rule.of, item.get("rules") or [])
        )
        held = list(self.rules(user, namespace))
        missing = [rule for rule in given if not _held(rule, held)]
        if missing:
            rules = "".join(f"\n{_told(rule)}" for rule in missing)
            words = (
                f'user "{user.name}" (groups={json.dumps(list(user.groups))}) is attempting to grant RBAC '
                f"permissions not currently held:{rules}"
            )
            raise forbidden(name, RBAC, plural, words)


def account_user(namespace: str, name: str) -> User:
    """A service account as a user."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


def refusal(call: Call) -> ApiError:
    """A 403 in the server's words."""
    if not call.resourceful:
        words = f'User "{call.user}" cannot {call.verb} path "{call.path}"'
        return ApiError(403, "Forbidden", f"forbidden: {words}")
    resource = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
    where = f'in the namespace "{call.namespace}"' if call.namespace else "at the cluster scope"
    words = f'User "{call.user}" cannot {call.verb} resource "{resource}" in API group "{call.group}" {where}'
    return forbidden(call.name, call.group, call.resource, words)


def _binds(binding: Object, user: User) -> bool:
    for subject in binding.get("subjects") or []:
        if subject["kind"] == "ServiceAccount":
            namespace = subject.get("namespace", binding["metadata"].get("namespace", ""))
            if user.name == f"system:serviceaccount:{namespace}:{subject['name']}":
                return True
        elif (subject["kind"] == "User" and subject["name"] == user.name) or (
            subject["kind"] == "Group" and subject["name"] in user.groups
        ):
            return True
    return False


def _held(rule: Rule, held: list[Rule]) -> bool:
    """Whether every single right of a rule is within rules that are held."""
    if rule.paths:
        return all(
            any({"*", verb} & one.verbs and any(_covers(p, path) for p in one.paths) for one in held)
            for verb in rule.verbs
            for path in rule.paths
        )
    return all(
        any(
            {"*", verb} & one.verbs
            and {"*", group} & one.groups
            and _resource_held(resource, one)
            and (not one.names or (rule.names and rule.names <= one.names))
            for one in held
        )
        for verb, group, resource in itertools.product(rule.verbs, rule.groups, rule.resources)
    )


def _resource_held(resource: str, rule: Rule) -> bool:
    _, slash, sub = resource.partition("/")
    return bool({"*", resource} & rule.resources) or bool(slash and f"*/{sub}" in rule.resources)


def _told(rule: Rule) -> str:
    parts: dict[str, Any] = {"APIGroups": rule.groups, "Resources": rule.resources, "Verbs": rule.verbs}
    return "{" + ", ".join(f"{name}:{json.dumps(sorted(values))}" for name, values in parts.items()) + "}"
