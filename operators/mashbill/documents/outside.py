"""Documents of an artifact that lie in others' files: who opens it says where they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mashbill.artifacts import Artifact
from mashbill.documents.kinds import Kind
from mashbill.documents.partition import Partition


@dataclass(frozen=True)
class OutsideDocuments(Artifact):
    """An artifact that refers to documents in others' files.

    Attributes:
        parts: its partitions, by the name of their kind.
    """

    parts: Mapping[str, Sequence[Partition]] = field(default_factory=dict)

    def outside(self, kind: Kind) -> Sequence[Partition]:
        """Its partitions of a kind, in order."""
        return self.parts.get(kind.name, ())
