"""Step Law: learning rate and batch of a model from its parameters and its tokens.

Source: arXiv 2503.04715; constants as refitted from the authors' published runs (mean of 1000 bootstrap
fits). The law was fitted with a final learning rate of 1e-5 whatever the peak.
"""

from mashbill.config import TrainingConfig
from mashbill.errors import ConfigError
from mashbill.models.sizes import parameter_count

STEP_LAW = "Step Law, arXiv 2503.04715"
STEP_LAW_MINIMUM = 1e-5
LEAST_PARAMETERS, LEAST_TOKENS = 50_000_000, 1_000_000_000
"""About the least of the authors' study; at a million parameters the law asks for a rate of 0.06."""


def step_law_rate(parameters: float, tokens: float) -> float:
    """Peak learning rate: 1.79 N^-0.713 D^0.307.

    Args:
        parameters: without embeddings.
        tokens: of the whole run.
    """
    return 1.79 * parameters**-0.713 * tokens**0.307


def step_law_batch_tokens(tokens: float) -> float:
    """Tokens of a global batch: 0.58 D^0.571."""
    return 0.58 * tokens**0.571


def non_embedding_parameters(training: TrainingConfig) -> int:
    """Parameters without the embedding and the output matrix."""
    return parameter_count(training.model, 0)


def check_step_law(training: TrainingConfig) -> None:
    """Refuse Step Law where it was not fitted, by a margin that makes it absurd.

    Raises:
        ConfigError: the model or the run is too small.
    """
    for what, amount, least in (
        ("parameters without embeddings", non_embedding_parameters(training), LEAST_PARAMETERS),
        ("tokens", training.tokens, LEAST_TOKENS),
    ):
        if amount < least:
            raise ConfigError(
                "training.recipe",
                f"step-law holds from about {least:,} {what} on, and here are {amount:,}",
                'set recipe = "hand", training.learning_rate and training.batch_tokens',
            )
