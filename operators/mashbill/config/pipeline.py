"""The whole config of a pipeline: every section, and what must hold between sections."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from mashbill.config.baselines import BaselinesConfig
from mashbill.config.corpus import CorpusConfig, DeduplicationConfig
from mashbill.config.engine import EngineConfig
from mashbill.config.evaluation import EvaluationConfig
from mashbill.config.filters import FiltersConfig
from mashbill.config.forecast import ForecastConfig
from mashbill.config.groups import share_weights
from mashbill.config.launch import LaunchConfig, by_stage
from mashbill.config.names import refuse_columns, refuse_repeated, refuse_shared_names
from mashbill.config.quality import BootstrapConfig, QualityConfig, SelectionConfig
from mashbill.config.search import (
    GateConfig,
    LadderConfig,
    MixConfig,
    PlanConfig,
    ProxyConfig,
    RefineConfig,
    RegressionConfig,
    ScheduleConfig,
    SweepConfig,
)
from mashbill.config.section import HowItRuns, Location, Name, Section
from mashbill.config.tokens import TokensConfig
from mashbill.config.training import SCHEDULED, TrainingConfig
from mashbill.config.validation import ValidationConfig
from mashbill.errors import ConfigError

TRAIN = "train"
"""The stage that several machines may work at."""


class PipelineConfig(Section):
    """Everything a run is determined by."""

    name: Name = Field("pipeline", description="Name of the pipeline, shown in reports and logs.")
    root: HowItRuns[Location] = Field(
        ".",
        description="Folder that relative paths start from, itself relative to the config file; instead of a "
        "path every other setting but scratch takes an s3:// address too.",
    )
    artifacts: HowItRuns[Location] = Field(
        "artifacts", description="Folder or s3:// address where results live."
    )
    scratch: HowItRuns[Location] = Field(
        ".mashbill", description="Local folder for work in progress and copies where artifacts are on S3."
    )
    scratch_bytes: HowItRuns[int] = Field(
        50_000_000_000,
        ge=0,
        description="Bytes that copies of remote files take in scratch, at most: what was used longest ago "
        "and nobody holds goes first. What one stage reads at a time may exceed it, with a warning.",
    )
    seed: int = Field(0, ge=0, description="Everything random is a function of this and an index.")
    workers: HowItRuns[int] = Field(
        0, ge=0, description="Worker processes of the shell's run; 0 means one a core."
    )
    engine: HowItRuns[EngineConfig] = Field(EngineConfig(), description="Where work on partitions runs.")
    corpus: CorpusConfig = Field(description="Where the text comes from.")
    filters: FiltersConfig = Field(
        FiltersConfig(), description="Which documents, and which of their lines, are removed by rules."
    )
    deduplication: DeduplicationConfig = Field(
        DeduplicationConfig(), description="What counts as a duplicate."
    )
    bootstrap: BootstrapConfig = Field(
        BootstrapConfig(), description="The family that measures predictive strength."
    )
    quality: QualityConfig = Field(QualityConfig(), description="How documents are scored.")
    selection: SelectionConfig = Field(SelectionConfig(), description="What is kept.")
    tokens: TokensConfig = Field(TokensConfig(), description="The tokenizer and the split.")
    proxy: ProxyConfig = Field(ProxyConfig(), description="The proxy's shape and training.")
    plan: PlanConfig = Field(PlanConfig(), description="Which mixtures are tried.")
    sweep: SweepConfig = Field(SweepConfig(), description="How the proxies are trained.")
    refine: RefineConfig = Field(RefineConfig(), description="More proxies where they can change the choice.")
    ladder: LadderConfig = Field(
        LadderConfig(), description="Whether the order of mixtures holds at other sizes."
    )
    baselines: BaselinesConfig = Field(
        BaselinesConfig(), description="Other ways to a mixture, beside the choice."
    )
    regression: RegressionConfig = Field(RegressionConfig(), description="How losses are predicted.")
    mix: MixConfig = Field(MixConfig(), description="What the mixture is chosen for.")
    schedule: ScheduleConfig = Field(ScheduleConfig(), description="Whether the mixture changes on the way.")
    validation: ValidationConfig = Field(
        ValidationConfig(), description="Whether measured losses rank the mixtures as predicted."
    )
    gate: GateConfig = Field(GateConfig(), description="When the cluster may be spent.")
    forecast: ForecastConfig = Field(
        ForecastConfig(), description="What the final model will come to, from smaller ones."
    )
    training: TrainingConfig = Field(TrainingConfig(), description="The final model.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="How the final models are measured.")
    launch: HowItRuns[Annotated[dict[str, LaunchConfig], BeforeValidator(by_stage)]] = Field(
        {}, description="Where stages run, by stage; those that are not named run on this machine."
    )

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        references, known = (
            {r.name for r in self.corpus.references},
            (*self.mixture_names, *self.reference_names),
        )
        try:
            share_weights(self.mix.target, known)
        except KeyError as error:
            raise ValueError(
                f"mix.target names {error.args[0]!r}, which matches neither a domain nor a reference; "
                f"known: {', '.join(sorted(known))}"
            ) from error
        self._folders_are_local()
        self._training_is_as_it_is_launched()
        self._sets_have_names_of_their_own()
        self._filters_know_their_sets()
        self._baselines_are_mixtures()
        self._phases_were_measured()
        for name in self.quality.ability_references:
            if name not in references:
                raise ValueError(
                    f"quality.ability_references names {name!r}, which is no reference; known: "
                    f"{', '.join(sorted(references))}"
                )
        return self

    def _folders_are_local(self) -> None:
        for name, given in (("root", self.root), ("scratch", self.scratch)):
            if "://" in given:
                raise ValueError(f"{name} is {given}, an address; give a local folder")

    def _training_is_as_it_is_launched(self) -> None:
        """Have nodes and processes be the same in ``launch.train`` and in ``training``, wherever they were
        said."""
        takes = self.launch.get(TRAIN)
        if takes is None:
            return
        launched, trained = takes.model_fields_set, self.training.model_fields_set
        for ours, theirs in (("nodes", "nodes"), ("processes", "processes_per_node")):
            one, other = getattr(takes, ours), getattr(self.training, theirs)
            if ours in launched and theirs in trained and one not in {None, other}:
                raise ValueError(
                    f"launch.{TRAIN}.{ours} is {one} and training.{theirs} {other}; leave the latter out"
                )
        nodes = takes.nodes if "nodes" in launched else self.training.nodes
        processes = takes.processes or takes.gpus or self.training.processes_per_node
        update = {"nodes": nodes, "processes_per_node": processes}
        self.__dict__["training"] = self.training.model_copy(update=update)
        takes = takes.model_copy(update={"nodes": nodes, "processes": processes})
        self.__dict__["launch"] = {**self.launch, TRAIN: takes}

    def _sets_have_names_of_their_own(self) -> None:
        bins = [
            (name, f"quality bin {i + 1} of domain {domain!r} (selection.bins is {self.selection.bins})")
            for domain in self.domain_names
            for i, name in enumerate(self.binned_names(domain))
            if self.selection.bins > 1
        ]
        refuse_shared_names([*self.corpus.named_sets(), *bins])
        refuse_columns(self.corpus.named_sets())
        refuse_repeated("quality.positives", self.quality.positives)
        refuse_repeated("quality.ability_references", self.quality.ability_references)

    def _filters_know_their_sets(self) -> None:
        evaluations = tuple(e.name for e in self.corpus.evaluations)
        for pattern in self.corpus.may_repeat:
            if not any(fnmatchcase(name, pattern) for name in (*self.reference_names, *evaluations)):
                raise ValueError(
                    f"corpus.may_repeat names {pattern!r}, which matches no reference or evaluation set; "
                    f"known: {', '.join((*self.reference_names, *evaluations))}"
                )
        for name in self.filters.domains:
            if name not in self.domain_names:
                raise ValueError(
                    f"filters.domains names {name!r}, which is no domain; known: "
                    f"{', '.join(self.domain_names)}"
                )
        known = (*evaluations, *self.reference_names)
        for name in self.filters.decontamination.sets:
            if name not in known:
                raise ValueError(f"filters.decontamination.sets names {name!r}; known: {', '.join(known)}")
        named = self.filters.decontamination.sets
        if "decontamination" in self.filters.apply and not (named or self.corpus.held_out):
            raise ValueError(
                "filters.apply names decontamination, and no set is held out; add corpus.evaluations or "
                "leave it out"
            )

    def _baselines_are_mixtures(self) -> None:
        for name, weights in self.baselines.given.items():
            unknown = [domain for domain in weights if domain not in self.mixture_names]
            if unknown:
                raise ValueError(
                    f"baselines.given.{name} names {unknown[0]!r}; known: {', '.join(self.mixture_names)}"
                )
            if abs(sum(weights.values()) - 1) > 1e-6 or min(weights.values()) < 0:
                raise ValueError(
                    f"baselines.given.{name} sums to {sum(weights.values()):g}; make the weights "
                    "non-negative with sum 1"
                )
        found = ("chosen", "natural", "uniform", "tempered", *self.baselines.methods)
        methods = [(name, f"the mixture {name}") for name in (SCHEDULED, *found)]
        refuse_shared_names([*methods, *((name, f"baselines.given.{name}") for name in self.baselines.given)])
        refuse_repeated("baselines.methods", self.baselines.methods)
        known = (*found, *self.baselines.given)
        for field, names, there in (
            ("training.mixtures", self.training.mixtures, (SCHEDULED, *known)),
            ("validation.mixtures", self.validation.mixtures, known),
        ):
            refuse_repeated(field, names)
            for name in names:
                if name not in there:
                    raise ValueError(f"{field} names {name!r}; known: {', '.join(there)}")

    def _phases_were_measured(self) -> None:
        phases, planned, evaluations = self.schedule.phases, self.plan.phases, self.sweep.evaluations
        if phases == 1 and SCHEDULED in self.training.mixtures:
            raise ValueError(
                "training.mixtures names 'scheduled', and schedule.phases is 1; set schedule.phases to "
                "plan.phases"
            )
        if phases > 1 and planned not in {1, phases}:
            raise ValueError(f"schedule.phases is {phases} and plan.phases {planned}; make them the same")
        if phases > 1 and planned == 1 and evaluations % phases:
            raise ValueError(
                f"schedule.phases is {phases} and sweep.evaluations {evaluations}; make that a multiple of it"
            )

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Names of the domains, in the config's order (which is the order of priority)."""
        return tuple(d.name for d in self.corpus.domains)

    def binned_names(self, domain: str) -> tuple[str, ...]:
        """The quality bins of a domain, best first; the domain itself where it is not split."""
        bins = self.selection.bins
        return (domain,) if bins == 1 else tuple(f"{domain}.q{i + 1}" for i in range(bins))

    @property
    def mixture_names(self) -> tuple[str, ...]:
        """What mixtures are made of: the domains, or their quality bins."""
        return tuple(name for domain in self.domain_names for name in self.binned_names(domain))

    @property
    def reference_names(self) -> tuple[str, ...]:
        """Names of the reference sets, in the config's order."""
        return tuple(r.name for r in self.corpus.references)

    @property
    def target(self) -> dict[str, float]:
        """Weights of the validation sets the mixture is chosen for, patterns spelt out; they sum to 1.

        Raises:
            ConfigError: there is neither a target nor a reference set (curation alone needs none).
        """
        self.require_target()
        wanted = self.mix.target or {name: 1 / len(self.reference_names) for name in self.reference_names}
        return share_weights(wanted, (*self.mixture_names, *self.reference_names))

    def require_target(self) -> None:
        """Refuse a config that says nothing of what the mixture is chosen for.

        Raises:
            ConfigError: there is neither a target nor a reference set.
        """
        if not self.mix.target and not self.reference_names:
            raise ConfigError(
                "mix.target", "is empty and corpus.references too", "name a target or add a reference set"
            )

    def sent(self, stage: str, takes: LaunchConfig) -> Self:
        """This config with a stage sent elsewhere.

        Raises:
            ValidationError: it cannot be sent so.
        """
        values = self.model_dump(exclude_unset=True)
        if TRAIN in self.launch:  # they are what that says
            values["training"] = {
                k: v for k, v in values["training"].items() if k not in {"nodes", "processes_per_node"}
            }
        values["corpus"] = self.corpus  # as it is: its names may be all that is known of it
        launch = {**values.get("launch", {}), stage: takes.model_dump(exclude_unset=True)}
        return type(self).model_validate({**values, "launch": launch})

    def resolve(self, path: str) -> str:
        """An absolute path or address: relative ones start from the root."""
        return path if "://" in path else str(Path(self.root, path))
