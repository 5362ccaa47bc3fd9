"""Settings of the baselines: other ways to a mixture, run on the same proxies and put beside the choice."""

from typing import Literal

from pydantic import Field

from mashbill.config.section import Name, Section

Method = Literal["doremi", "skill-it", "online"]


class BaselinesConfig(Section):
    """Which other methods find a mixture, and how."""

    methods: tuple[Method, ...] = Field(
        ("doremi",), description="Methods that train proxies; natural, uniform and tempered come free."
    )
    given: dict[Name, dict[str, float]] = Field(
        default_factory=dict,
        description="Mixtures by hand, by name: weights of domains that sum to 1; a domain left out has "
        "none.",
    )
    doremi_step: float = Field(1.0, gt=0, description="Step size of DoReMi's weights (Xie et al. 2023: 1).")
    doremi_smoothing: float = Field(
        1e-3, gt=0, lt=1, description="Share of the uniform mixture in DoReMi's weights (1e-3)."
    )
    skill_rounds: int = Field(
        5, ge=1, le=1_000, description="Updates of Skill-It's mixture (Chen et al. 2023: 5 or more)."
    )
    skill_step: float = Field(0.2, gt=0, description="Step size of Skill-It's updates (0.2 to 0.8).")
    skill_window: int = Field(
        3, ge=1, description="Rounds whose losses are added up for an update of Skill-It (3)."
    )
    skill_graph: Literal["approximate", "pairs"] = Field(
        "approximate",
        description="Whether Skill-It's graph is learnt from a proxy a domain, or from one for every two "
        "domains too.",
    )
    skill_graph_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Tokens of a proxy that learns the skill graph, as a share of a sweep's.",
    )
    online_memory: float = Field(
        0.9, ge=0, lt=1, description="Share that past rewards keep in online data mixing."
    )
