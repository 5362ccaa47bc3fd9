"""What the processes of a training are told: one file, read by each."""

from pathlib import Path
from typing import Any

from pydantic import Field

from mashbill.artifacts import ArtifactStore, Record
from mashbill.config import TrainingConfig
from mashbill.mixtures.forecast import Band
from mashbill.storage import Copies
from mashbill.tokens import TokenStore


class Job(Record):
    """A training, as its processes see it.

    Attributes:
        training: the recipe.
        seed: of the weights and of the order of the text.
        phases: the mixtures that it follows, as ``Schedule.as_json`` gives them.
        tokens: folder of the token shards, or address of their artifact in a store.
        store: root of that store.
        tokens_fingerprint: of their content, by which a checkpoint knows its text again.
        scratch: folder on each node for logs and progress.
        output: folder of the first node where the model is exported to.
        checkpoints: folder or address that all nodes reach.
        copies: folder on each node for copies of what is remote; copies_bytes: that they take at most.
        accelerator: cpu or cuda.
        initial: local folder of the model to go on from.
        band: of the forecast, which training is held against.
        target: weights of the sets that the band is of.
    """

    FILE = "job.json"
    training: TrainingConfig
    seed: int
    phases: list[dict[str, Any]]
    tokens: str
    store: str = ""
    tokens_fingerprint: str = ""
    scratch: str
    output: str
    checkpoints: str
    copies: str
    copies_bytes: int | None = None
    accelerator: str
    initial: str | None = None
    band: Band | None = None
    target: dict[str, float] = Field(default_factory=dict)

    def token_store(self) -> TokenStore:
        """The token shards; of those in a store each is fetched when it is read."""
        if self.copies_bytes is not None:
            Copies.under(Path(self.copies)).limit = self.copies_bytes
        if not self.store:
            return TokenStore(Path(self.tokens))
        return TokenStore(ArtifactStore(self.store, Path(self.copies)).open(self.tokens))

    def as_json(self) -> Any:
        """All of it, also what the settings say by default, which may be another one day."""
        return self.model_dump(mode="json")
