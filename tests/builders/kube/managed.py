"""Who manages which fields of an object."""

from builders.kube.kinds import Kind
from builders.kube.store import Object
from builders.kube.validation import Validation


class Managers:
    """Field managers."""

    def __init__(self, validation: Validation) -> None:
        self.validation = validation

    def updated(
        self, kind: Kind, item: Object, before: Object | None, manager: str, subresource: str = ""
    ) -> Object:
        """An object after a write that is no apply."""
        return item
