"""What was measured of the final models, beside what was predicted."""

from mashbill.artifacts import Part, Record


class Sample(Part):
    """A prompt, and what a model wrote after it."""

    prompt: str
    text: str


class MeasuredModel(Part):
    """One final model.

    Attributes:
        bits_per_byte: by set; target: of the weighted target.
        export_max_logit_difference: between transformers' logits of the export and ours.
        samples: what it writes.
    """

    bits_per_byte: dict[str, float]
    target: float
    export_max_logit_difference: float
    samples: tuple[Sample, ...]


class Evaluation(Record):
    """The final models by their mixture's name.

    Attributes:
        models: what was measured of each.
        predicted, measured: target losses by mixture.
        gain_predicted: of the choice over natural; gain_measured: the same on the final models, where both
            were trained; schedule_gain_measured: of the schedule over the choice.
    """

    FILE = "evaluation.json"
    models: dict[str, MeasuredModel]
    predicted: dict[str, float]
    measured: dict[str, float]
    gain_predicted: float
    gain_measured: float | None
    schedule_gain_measured: float | None
