"""Settings: frozen pydantic models, read from one TOML file. No setting is read from anywhere else."""

from mashbill.config.baselines import BaselinesConfig
from mashbill.config.corpus import CorpusConfig, DeduplicationConfig, Domain, Source
from mashbill.config.engine import EngineConfig
from mashbill.config.evaluation import EvaluationConfig
from mashbill.config.filters import FiltersConfig
from mashbill.config.forecast import ForecastConfig
from mashbill.config.launch import LaunchConfig
from mashbill.config.load import ProxyRun, load_config, load_proxy_run, parse_overrides
from mashbill.config.model import BlockShape, ModelShape
from mashbill.config.pipeline import PipelineConfig
from mashbill.config.quality import BootstrapConfig, QualityConfig, SelectionConfig
from mashbill.config.search import (
    GateConfig,
    LadderConfig,
    MixConfig,
    Optimisation,
    PlanConfig,
    ProxyConfig,
    RefineConfig,
    RegressionConfig,
    Rung,
    ScheduleConfig,
    SweepConfig,
)
from mashbill.config.tokens import TokensConfig
from mashbill.config.training import TrainingConfig
from mashbill.config.validation import ValidationConfig
from mashbill.config.view import StageConfig

__all__ = [
    "BaselinesConfig",
    "BlockShape",
    "BootstrapConfig",
    "CorpusConfig",
    "DeduplicationConfig",
    "Domain",
    "EngineConfig",
    "EvaluationConfig",
    "FiltersConfig",
    "ForecastConfig",
    "GateConfig",
    "LadderConfig",
    "LaunchConfig",
    "MixConfig",
    "ModelShape",
    "Optimisation",
    "PipelineConfig",
    "PlanConfig",
    "ProxyConfig",
    "ProxyRun",
    "QualityConfig",
    "RefineConfig",
    "RegressionConfig",
    "Rung",
    "ScheduleConfig",
    "SelectionConfig",
    "Source",
    "StageConfig",
    "SweepConfig",
    "TokensConfig",
    "TrainingConfig",
    "ValidationConfig",
    "load_config",
    "load_proxy_run",
    "parse_overrides",
]
