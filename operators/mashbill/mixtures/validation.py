"""The validation of a choice: the compared mixtures trained again with fresh seeds, measured beside
predicted."""

from mashbill.artifacts import Part, Record


class MeasuredMixture(Part):
    """One mixture at one size.

    Attributes:
        name: of the mixture.
        mean, least, greatest: target loss over the seeds that finished; None where none did.
        diverged: seeds that did not.
        predicted: target loss of a proxy.
        measured_rank, predicted_rank: from 1 among the mixtures that were measured, ties sharing the better
            one.
        agrees: whether they are the same.
        gain: mean over natural, seed by seed; gain_error: its standard error; wins: seeds in which natural
            was beaten; compared: seeds that both finished. Natural itself has none of them.
    """

    name: str
    mean: float | None
    least: float | None
    greatest: float | None
    diverged: int
    predicted: float
    measured_rank: int | None
    predicted_rank: int | None
    agrees: bool
    gain: float | None = None
    gain_error: float | None = None
    wins: int | None = None
    compared: int | None = None


class ReversedPair(Part):
    """Two mixtures whose measured means stand against the prediction, and in how many shared seeds they
    do."""

    predicted_better: str
    measured_better: str
    predicted_gap: float
    seeds: int
    compared: int


class ValidatedSize(Part):
    """Measured target losses beside predicted ones, at one size and budget.

    Attributes:
        parameters: of the models; tokens: each was trained on.
        seeds: models a mixture.
        mixtures: what became of each, best measured first.
        spearman: of predicted and mean measured loss; None where fewer than two were measured, or all are
            equal.
        reversed: pairs that were measured the other way round, the widest apart in prediction first.
    """

    parameters: int
    tokens: int
    seeds: int
    mixtures: tuple[MeasuredMixture, ...]
    spearman: float | None
    reversed: tuple[ReversedPair, ...]


class Validation(Record):
    """Whether measured losses rank the mixtures as predicted; without sizes nothing was trained."""

    FILE = "validation.json"
    target: dict[str, float]
    sizes: tuple[ValidatedSize, ...]
