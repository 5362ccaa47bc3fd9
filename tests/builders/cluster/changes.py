"""What a controller wants changed. Controllers are pure: objects in, changes out; the loop makes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from builders.cluster.kinds import Key, Object, key_of, reference_to, uid_of
from builders.cluster.pace import Pace

Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True)
class Create:
    """Make an object."""

    body: Object


@dataclass(frozen=True)
class Patch:
    """Merge a body into an object, or into its status alone."""

    kind: str
    key: Key
    body: Object
    status: bool = False


@dataclass(frozen=True)
class Delete:
    """Delete the object of a name that has this uid."""

    kind: str
    key: Key
    uid: str
    propagation: Propagation = "Background"
    grace: int | None = None


@dataclass(frozen=True)
class Bind:
    """Put a pod on a node."""

    key: Key
    node: str


@dataclass(frozen=True)
class Note:
    """Tell of something in an event, as the component of that name."""

    about: Object
    reason: str
    message: str
    source: str
    warning: bool = False


Change = Create | Patch | Delete | Bind | Note


@dataclass
class Wanted:
    """What a controller wants after a look at one object.

    Attributes:
        changes: in the order in which they are made; after one that fails none of the rest is.
        again: seconds after which it wants to look again; None where only a change can matter.
    """

    changes: list[Change] = field(default_factory=list)
    again: float | None = None

    def look_again(self, seconds: float) -> None:
        """Look again after some seconds, or sooner."""
        self.again = seconds if self.again is None else min(self.again, seconds)

    def remove_after_ttl(self, ended: Object, pace: Pace) -> None:
        """Remove an object that has ended once its ``ttlSecondsAfterFinished`` is over, if it has one."""
        ttl = ended["spec"].get("ttlSecondsAfterFinished")
        if ttl is None:
            return
        left = ttl - pace.since(f"{uid_of(ended)}/ended")
        if left <= 0:
            self.changes.append(Delete(ended["kind"], key_of(ended), uid_of(ended), "Foreground"))
        else:
            self.look_again(left)


def status_change(thing: Object, new: Object) -> Sequence[Change]:
    """The patch that makes an object's status the new one, if it is still as it was seen; none where it is so
    already."""
    changed = difference(thing.get("status") or {}, new)
    version = thing["metadata"].get("resourceVersion", "")  # none of what was never stored
    body = {"metadata": {"resourceVersion": version}, "status": changed}
    return (Patch(thing["kind"], key_of(thing), body, status=True),) if changed else ()


def difference(old: Object, new: Object) -> Object:
    """The merge patch that makes one object of another."""
    found: Object = dict.fromkeys(name for name in old if name not in new)
    for name, value in new.items():
        before = old.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            within = difference(before, value)
            if within:
                found[name] = within
        elif before != value:
            found[name] = value
    return found


def made_by(owner: Object, body: Object) -> Object:
    """A body with the owner that it is deleted with."""
    body["metadata"]["ownerReferences"] = [reference_to(owner)]
    return body
