"""Settings of the stages from plan to gate, and of the proxies they train: from token shards to a mixture
that is worth training."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from mashbill.config.model import ModelShape
from mashbill.config.section import HowItRuns, Section, Share

MIXTURES_A_COMPONENT, LEAST_MIXTURES = 4, 16
RegressorName = Literal["auto", "linear", "lightgbm", "exponential", "power", "gp", "ensemble"]
REGRESSORS: tuple[str, ...] = tuple(name for name in get_args(RegressorName) if name != "auto")
"""In the order in which they are compared; of equals the first is chosen."""
Design = Literal["maximin", "regmix", "around-natural", "space-filling"]
DESIGNS: tuple[str, ...] = get_args(Design)


class Optimisation(Section):
    """How a proxy is optimised: AdamW, linear warm-up, cosine."""

    learning_rate: float = Field(3e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    min_learning_rate: float = Field(3e-4, ge=0, lt=1, description="Learning rate at the end of the cosine.")
    warmup_share: Share = Field(0.05, description="Share of the steps spent warming up.")
    weight_decay: float = Field(0.1, ge=0, le=1, description="Weight decay of matrices.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")


class ProxyConfig(Optimisation):
    """The proxy: its shape and how one is trained."""

    model: ModelShape = Field(ModelShape(), description="Shape of the proxy.")
    batch_sequences: int = Field(8, ge=1, description="Sequences in a batch.")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="Arithmetic of matrix products; auto takes bf16 where the hardware has it."
    )
    device: HowItRuns[Literal["auto", "cpu", "cuda"]] = Field(
        "auto", description="Where proxies are trained; auto takes a GPU where there is one."
    )
    stack: HowItRuns[Annotated[int, Field(ge=1, le=4_096)] | Literal["auto"]] = Field(
        "auto",
        description="Proxies of a group trained at once as one set of tensors; auto: as many as a GPU's "
        "memory holds, one on a CPU.",
    )

    def optimised_as(self, settings: Optimisation) -> "ProxyConfig":
        """The same proxy under other settings of the optimiser."""
        return self.model_copy(update={name: getattr(settings, name) for name in Optimisation.model_fields})


class PlanConfig(Section):
    """Which mixtures the sweep tries: as RegMix draws them, or by a design of our own."""

    mixtures: Annotated[int, Field(ge=2, le=100_000)] | Literal["auto"] = Field(
        32,
        description="Mixtures to try, one proxy each; auto takes 4 a component (domain or quality bin), "
        "at least 16.",
    )
    design: Design = Field(
        "maximin",
        description="maximin: of many draws around the natural proportions those that lie farthest apart; "
        "regmix: as RegMix's script draws them; around-natural: a Dirichlet whose strength counts for each "
        "domain; space-filling: evenly over all mixtures.",
    )
    temperature: float = Field(
        0.5, gt=0, le=10, description="Power the natural proportions are raised to (RegMix: 0.5)."
    )
    min_strength: float = Field(
        0.1,
        gt=0,
        description="Least strength of the Dirichlet (RegMix: 0.1). The strength is the sum of its "
        "concentrations, for around-natural their mean; low gives mixtures of few domains.",
    )
    max_strength: float = Field(
        5.0,
        gt=0,
        description="Greatest strength (RegMix: 5); for maximin and around-natural that of each domain.",
    )
    min_weight: float = Field(
        2e-4,
        ge=0,
        lt=0.1,
        description="Weights below this are set to zero; of RegMix's mixtures all are multiples of it.",
    )
    max_epochs: float = Field(
        4.0, gt=0, le=1_000, description="Times a domain's training text may be repeated within one run."
    )
    phases: int = Field(
        1,
        ge=1,
        le=16,
        description="Equal phases of a proxy; with more than 1 its mixture differs from phase to phase.",
    )
    min_spread: float = Field(
        0.3,
        gt=0,
        description="Least evenness of a domain over the phases (shape of a gamma), drawn log-uniformly; "
        "low is uneven.",
    )
    max_spread: float = Field(10.0, gt=0, description="Greatest evenness of a domain over the phases.")
    reuse: str | None = Field(
        None,
        # what it stands for is part of the plan's identity; stages before it must not change with it
        exclude=True,
        description="An earlier search to start from: last (the newest choice made from other text), or "
        "the address of a mix; domains "
        "that did not change keep their ratios, and mixtures are those of the others.",
    )
    revised_share: Share = Field(
        0.2,
        exclude=True,
        description="A domain of which more than this share of documents came or went is searched again "
        "(plan.reuse).",
    )

    def count(self, components: int) -> int:
        """Mixtures to try of so many components: what is given, or, on auto, in proportion to them.

        Source: olmix (arXiv 2602.12237) finds that runs grow linearly with domains; 64 of RegMix's runs,
        about 4 for each of its 17 domains, rank unseen ones with a Spearman correlation of 0.985
        (docs/benchmarks.md).
        """
        return (
            max(LEAST_MIXTURES, MIXTURES_A_COMPONENT * components)
            if self.mixtures == "auto"
            else self.mixtures
        )


class SweepConfig(Section):
    """How the proxies are trained."""

    tokens: int = Field(1_000_000, ge=1_000, description="Training tokens of each proxy.")
    group_size: HowItRuns[int] = Field(4, ge=1, description="Proxies trained by one task.")
    evaluations: int = Field(
        4, ge=1, le=1_000, description="Times the validation loss is measured during a run, evenly spaced."
    )
    also: tuple[Optimisation, ...] = Field(
        (),
        description="Further settings of the optimiser: each mixture is trained with the proxy's own and "
        "with each of these, "
        "and the regression learns from those with the lowest mean loss.",
    )


class RefineConfig(Section):
    """Rounds of further proxies after the sweep, proposed where they can change the choice."""

    rounds: int = Field(0, ge=0, le=100, description="Rounds at most; 0 trains none.")
    proxies: int = Field(4, ge=1, le=512, description="Proxies of a round.")
    min_gain: float = Field(
        0.002,
        ge=0,
        description="Stop when the gain that more proxies promise, exceeded in one case of ten, is below "
        "this, in bits per byte.",
    )


class Rung(Section):
    """A size, a budget, or both, at which mixtures are trained again; what is not given is as in the
    sweep."""

    model: ModelShape | None = Field(None, description="Shape.")
    tokens: int | None = Field(None, ge=1_000, description="Training tokens of each proxy.")


class LadderConfig(Section):
    """Other sizes and budgets at which some of the sweep's mixtures are trained again."""

    rungs: tuple[Rung, ...] = Field((), description="Sizes and budgets; none trains nothing.")
    mixtures: int = Field(
        6, ge=3, le=1_000, description="Mixtures of the sweep, evenly spread over the order of their losses."
    )
    depths: tuple[Annotated[int, Field(ge=1, le=200)], ...] = Field(
        (),
        description="Depths of models of the proxy's size, as wide as their parameters allow, trained on the "
        "sweep's best mixture and ranked by loss; none trains nothing.",
    )
    depth_seeds: int = Field(2, ge=1, le=100, description="Runs of each depth, which tell what a seed does.")

    @model_validator(mode="after")
    def _depths_differ(self) -> Self:
        if len(set(self.depths)) != len(self.depths):
            raise ValueError(f"depths {self.depths} name one twice; leave it out and raise depth_seeds")
        return self


class RegressionConfig(Section):
    """How losses are predicted from mixtures."""

    regressor: RegressorName = Field(
        "auto",
        description="Regressor; ensemble weighs gp (Gaussian process), power and lightgbm by "
        "cross-validation; auto takes the best.",
    )
    folds: int = Field(5, ge=2, le=50, description="Folds of the cross-validation within the training runs.")
    keep_outliers: bool = Field(
        False,
        description="Learn from losses that their mixture does not explain, too; otherwise each is named and "
        "left out.",
    )


class MixConfig(Section):
    """What the mixture is chosen for, and within which limits."""

    target: dict[str, float] = Field(
        default_factory=dict,
        description="Validation sets (domains or references) and their weights, which sum to 1; a pattern "
        "(web.*) shares its weight "
        "evenly among the sets that match; empty means all references evenly.",
    )
    candidates: int = Field(100_000, ge=100, description="Mixtures simulated.")
    best: int = Field(
        128, ge=1, description="Candidates whose mean is the choice of a simulation (RegMix: 128)."
    )
    method: Literal["direct", "simulation"] = Field(
        "direct",
        description="direct searches the simplex on from the best of candidates of few and of many domains; "
        "simulation takes the mean of the best of RegMix's candidates, as RegMix does.",
    )
    caution: float = Field(
        0.5,
        ge=0,
        le=10,
        description="Standard deviations of doubt that count against a mixture (direct only).",
    )
    closeness: float = Field(
        0.0,
        ge=0,
        description="Loss that a nat of divergence from the natural mixture counts for.",
    )
    floors: dict[str, float] = Field(default_factory=dict, description="Least weights of some domains.")
    ceilings: dict[str, float] = Field(default_factory=dict, description="Greatest weights of some domains.")
    interval: float = Field(0.9, gt=0, lt=1, description="Coverage of the reported intervals.")

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> Self:
        total = sum(self.target.values())
        if self.target and (abs(total - 1) > 1e-6 or min(self.target.values()) < 0):
            raise ValueError(f"target weights sum to {total:g}; make them non-negative with sum 1")
        return self


class ScheduleConfig(Section):
    """Whether the mixture changes from phase to phase of the final run."""

    phases: int = Field(
        1,
        ge=1,
        le=16,
        description="Phases of the final run: those of plan.phases, or equal ones that the sweep's "
        "evaluations fall on; 1 is off.",
    )
    caution: float = Field(
        1.0, ge=0, le=10, description="Standard errors of its gain that count against a schedule."
    )
    folds: int = Field(5, ge=3, le=50, description="Folds of the trajectories' cross-validation.")


class GateConfig(Section):
    """What happens when the predicted gain over natural is within the noise."""

    within_noise: Literal["refuse", "ask", "train"] = Field(
        "refuse",
        description="Refuse to train, ask a person (Airflow's approval; --approve in the shell), or train "
        "anyway.",
    )
    min_gain: float = Field(
        0.0,
        ge=0,
        description="Gain over natural, in bits per byte, that is demanded besides being above the noise.",
    )
