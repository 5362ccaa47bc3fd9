"""Settings: frozen pydantic models, read from one TOML file. No setting is read from anywhere else."""

from mashbill.config.baselines import BaselinesConfig
from mashbill.config.corpus import CorpusConfig, DeduplicationConfig, Domain, Source
from mashbill.config.engine import EngineConfig
from mashbill.config.filters import FiltersConfig
from mashbill.config.mixing import (
    GateConfig,
    LadderConfig,
    MixConfig,
    ModelShape,
    PlanConfig,
    ProxyConfig,
    RefineConfig,
    RegressionConfig,
    ScheduleConfig,
    SweepConfig,
    TokensConfig,
)
from mashbill.config.pipeline import PipelineConfig, load_config, parse_overrides
from mashbill.config.quality import BootstrapConfig, QualityConfig, SelectionConfig
from mashbill.config.training import EvaluationConfig, TrainingConfig

__all__ = [
    "BaselinesConfig",
    "BootstrapConfig",
    "CorpusConfig",
    "DeduplicationConfig",
    "Domain",
    "EngineConfig",
    "EvaluationConfig",
    "FiltersConfig",
    "GateConfig",
    "LadderConfig",
    "MixConfig",
    "ModelShape",
    "PipelineConfig",
    "PlanConfig",
    "ProxyConfig",
    "QualityConfig",
    "RefineConfig",
    "RegressionConfig",
    "ScheduleConfig",
    "SelectionConfig",
    "Source",
    "SweepConfig",
    "TokensConfig",
    "TrainingConfig",
    "load_config",
    "parse_overrides",
]
