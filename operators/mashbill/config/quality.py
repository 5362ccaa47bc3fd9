"""Settings of bootstrap, score and select: the model family, the classifier and what is kept."""

from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import Field, model_validator

from mashbill.config.names import refuse_shared_names
from mashbill.config.section import HowItRuns, Location, Section, Share


class BootstrapConfig(Section):
    """The family of small models whose disagreement gives predictive strength: proxies on different random
    mixtures."""

    family: Literal["train", "last_sweep"] = Field(
        "train",
        description="Train the family, or, in scheduled use, take the proxies of the newest sweep among "
        "the artifacts "
        "(and train where there is none yet).",
    )
    models: int = Field(
        14, ge=0, le=256, description="Proxies to train; 0 where the family or the classifier is given."
    )
    tokens: int = Field(1_000_000, ge=1_000, description="Training tokens of each proxy.")
    group_size: HowItRuns[int] = Field(4, ge=1, description="Proxies trained by one task.")
    sample_bytes: int = Field(
        30_000_000, ge=10_000, description="Text of each domain that is tokenized for the family, in bytes."
    )


class QualityConfig(Section):
    """How documents are scored: PreSelect's predictive strength, learnt by a fastText classifier."""

    classifier: Location | None = Field(
        None,
        description="A trained fastText .bin file; PreSelect is skipped and the file scores the documents.",
    )
    ensemble: tuple[Location, ...] = Field(
        (),
        description="More .bin files, with the same labels: documents are scored by the mean of their "
        "ranks under all of them.",
    )
    positives: tuple[str, ...] = Field(
        (),
        description="Domains or references that stand for good text (as DCLM does): the classifier tells "
        "them from all other domains.",
    )
    lowercase: bool = Field(
        False, description="Train and score on lower-case text; stored with the classifier."
    )
    positive_label: str = Field(
        "__label__1", description="Label of the classifier that stands for good text."
    )
    family: tuple[Location, ...] = Field(
        (), description="Hugging Face model folders used in place of the bootstrap's proxies (at least two)."
    )
    ability_references: tuple[str, ...] = Field(
        (),
        description="Reference sets on which a model's ability is measured (bits per byte); empty means all.",
    )
    sample_documents: int = Field(
        6_000, ge=50, description="Documents whose compression by the family is measured."
    )
    sample_characters: int = Field(
        2_000, ge=100, description="Characters of a sampled document that are compressed."
    )
    abilities: dict[str, float] = Field(
        default_factory=dict,
        description="Benchmark score of each model by its folder's name, higher is better; empty means "
        "measured on references.",
    )
    agreement: Literal["pairs", "spearman"] = Field(
        "pairs",
        description="Predictive strength: share of model pairs in order (PreSelect), or the rank "
        "correlation.",
    )
    extremes: Literal["overall", "domain"] = Field(
        "overall", description="Whether extremes are taken of the whole sample or of each domain."
    )
    extreme_share: float = Field(
        1 / 6,
        gt=0,
        le=0.5,
        description="Share of the sample taken as positives, and as negatives (extremes overall).",
    )
    held_out_share: float = Field(
        0.1, gt=0, le=0.5, description="Share of the extremes kept to measure the classifier."
    )
    dimension: int = Field(100, ge=1, le=1024, description="Width of fastText's vectors.")
    epochs: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Passes over the extremes; empty means as many as show 50,000 examples, at least "
        "PreSelect's 3.",
    )
    learning_rate: float = Field(0.1, gt=0, le=10, description="fastText's learning rate (PreSelect: 0.1).")
    word_ngrams: int = Field(2, ge=1, le=5, description="Longest word n-gram (PreSelect: 2).")
    buckets: int = Field(2_000_000, ge=1_000, description="Hash buckets for word n-grams.")

    @model_validator(mode="after")
    def _one_way_to_score(self) -> Self:
        given = [name for name in ("classifier", "family", "positives") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} are given, which are different ways to a score; keep one of them"
            )
        if self.ensemble and self.classifier is None:
            raise ValueError("ensemble is given without a classifier; name the first .bin file there")
        if len(self.family) == 1:
            raise ValueError("predictive strength needs at least two models; name more folders")
        refuse_shared_names((PurePosixPath(f).name, f"family[{i}]") for i, f in enumerate(self.family))
        return self


class SelectionConfig(Section):
    """What is kept of the scored documents."""

    method: Literal["share", "threshold", "temperature"] = Field(
        "share",
        description="Keep the best share; or what scores above a threshold; or a share drawn with "
        "probabilities that grow with the score.",
    )
    keep_share: Share = Field(0.5, gt=0, description="Share of the text kept, best scores first.")
    threshold: float = Field(
        0.0, description="Least margin (logit) of a kept document, for method threshold."
    )
    temperature: float = Field(
        1.0,
        gt=0,
        le=100,
        description="For method temperature: low comes near the best share, high near a random one (in "
        "logits).",
    )
    bins: int = Field(
        1,
        ge=1,
        le=20,
        description="Quality bins a domain is split into, of equal bytes; later stages mix them as "
        "domains (NAME.q1 the best).",
    )
    scope: Literal["domain", "overall"] = Field(
        "domain", description="Whether the share is kept of every domain, or of the corpus as a whole."
    )
    samples: int = Field(
        5, ge=0, le=100, description="Kept and dropped documents of each domain shown in the report."
    )
    min_documents: int = Field(
        20, ge=1, description="Documents that every domain keeps at least, so that none vanishes."
    )
