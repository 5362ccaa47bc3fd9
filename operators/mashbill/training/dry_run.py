"""The dry run: all that is known of a training before it begins, and all that would stop it, found without a
GPU."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.errors import ConfigError, MashbillError
from mashbill.mixtures import Budget
from mashbill.tokens import TokenStore
from mashbill.tokens.tokenizer import expected_vocabulary
from mashbill.training.amounts import size
from mashbill.training.budget import (
    Expense,
    Storage,
    check_epochs,
    expense,
    figures,
    memory_by_stage,
    storage,
)
from mashbill.training.deepspeed_settings import with_own_table
from mashbill.training.hardware import machine
from mashbill.training.idle import idle_fields
from mashbill.training.laws import non_embedding_parameters
from mashbill.training.memory import RESERVED, Memory, memory_of, mends
from mashbill.training.numbers import Figure, numbers_of
from mashbill.training.recipe import check_recipe


@dataclass(frozen=True)
class Known:
    """What is there already of what a training needs.

    Attributes:
        tokens: training tokens of each domain, where they are known.
        mixture: weight of each domain, where it was chosen.
        vocabulary: tokens of the tokenizer, where there is one.
        unseen: why it was not looked at, where it could not be.
    """

    tokens: Mapping[str, int] | None = None
    mixture: Mapping[str, float] | None = None
    vocabulary: int | None = None
    unseen: str = ""

    @classmethod
    def of_shards(cls, store: TokenStore, mixture: Mapping[str, float] | None) -> "Known":
        """What token shards, and a mixture where there is one, tell."""
        tokens = {d: store.counts(d, "train")["tokens"] for d in store.domains}
        return cls(tokens, mixture, store.vocabulary)


@dataclass(frozen=True)
class Problem:
    """What would stop a training.

    Attributes:
        setting: where it is mended; what: is wrong; mend: how.
    """

    setting: str
    what: str
    mend: str


@dataclass(frozen=True)
class DryRun:
    """What a dry run finds.

    Attributes:
        figures: steps, tokens, FLOPs; None where the recipe does not stand.
        numbers: of the recipe, each with its source.
        non_embedding_parameters: N of the laws.
        memory: of a rank by ZeRO stage, activations among it.
        expense: time and cost; None without hardware.
        storage: on disk.
        found: what checks found in order, by setting.
        idle: fields that are set and do nothing.
        problems: that would stop the training.
        unseen: why what is there was not looked at, where it could not be.
    """

    figures: Budget | None
    numbers: dict[str, Figure]
    non_embedding_parameters: int
    memory: dict[str, Memory]
    expense: Expense | None
    storage: Storage | None
    found: dict[str, str]
    idle: list[str]
    problems: list[Problem]
    unseen: str


def dry_run(config: PipelineConfig, known: Known) -> DryRun:
    """Look at a training without running any of it.

    Raises:
        ConfigError: the tokenizer that the config gives is not there.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []

    def look(setting: str, check: Callable[[], str]) -> None:
        try:
            found[setting] = check()
        except MashbillError as error:
            problem = Problem(error.where, error.what, error.mend)
            if problem not in problems:
                problems.append(problem)

    vocabulary = known.vocabulary or expected_vocabulary(config)
    training = config.training
    for check in (*check_recipe(config), *check_launch(config), *_check_shards(config, known)):
        look(check.setting, check.look)
    numbers: dict[str, Figure] = {}
    amounts: Budget | None = None
    try:
        numbers = numbers_of(training)
        amounts = figures(config, available_tokens=known.tokens, mixture=known.mixture, vocabulary=vocabulary)
    except ConfigError:
        pass  # checks have found it
    if amounts is not None:
        epochs = amounts.epochs_by_domain
        look("training.max_epochs", lambda: _epochs(config, epochs))
        look("training.hardware", lambda: check_memory(config, vocabulary))
    return DryRun(
        figures=amounts,
        numbers=numbers,
        non_embedding_parameters=non_embedding_parameters(training),
        memory=memory_by_stage(training, vocabulary),
        expense=expense(training, amounts) if amounts else None,
        storage=storage(training, amounts) if amounts else None,
        found=found,
        idle=idle_fields(with_own_table(config)) if not problems else [],
        problems=problems,
        unseen=known.unseen,
    )


def check_launch(config: PipelineConfig) -> Iterator[Check]:
    """Whether the nodes of a training can meet."""
    training = config.training

    def meets() -> str:
        if training.nodes == 1:
            return "one node, which needs no rendezvous"
        place = training.rendezvous
        mend = "set host:port of the first node"
        if place is None:
            raise ConfigError("training.rendezvous", f"is missing for {training.nodes} nodes", mend)
        host, _, port = place.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ConfigError("training.rendezvous", f"is {place}, which is no host:port", mend)
        return f"{training.nodes} nodes meet at {place}"

    yield Check("training.rendezvous", meets)


def check_memory(config: PipelineConfig, vocabulary: int) -> str:
    """Say whether a rank fits on its card.

    Raises:
        ConfigError: it does not; with what would make it fit.
    """
    training, planned = config.training, machine(config.training.hardware)
    need = memory_of(training, vocabulary).total
    if planned is None or planned.memory_bytes is None:
        return f"{size(need)} a rank, and no card is named to compare with"
    usable = planned.memory_bytes * (1 - RESERVED)
    if need <= usable:
        return f"{size(need)} of {size(planned.memory_bytes)} a rank"
    ways = mends(training, vocabulary, usable)
    raise ConfigError(
        "training.hardware",
        f"a rank needs {size(need)}, and {planned.name} has {size(planned.memory_bytes)}, of which "
        f"{RESERVED:.0%} are kept free",
        f"set {', or '.join(ways)}" if ways else "train on more or larger GPUs, or a smaller model",
    )


def _check_shards(config: PipelineConfig, known: Known) -> Iterator[Check]:
    """Whether what is there of tokens is what the training wants."""
    if known.tokens is None:
        return
    tokens, context = known.tokens, config.training.model.context

    def domains() -> str:
        missing = [d for d in (known.mixture or config.mixture_names) if d not in tokens]
        if missing:
            mend = "run tokenize again, or leave it out of the mixture"
            raise ConfigError("training.mixtures", f"names {missing[0]}, which has no tokens", mend)
        return f"{len(tokens)} domains have tokens"

    def lengths() -> str:
        for domain, there in tokens.items():
            if there <= context and (known.mixture or {}).get(domain, 1.0) > 0:
                raise ConfigError(
                    "training.model.context",
                    f"is {context}, and {domain} has {there} tokens, too few for a sequence and its target",
                    "add text, or shorten the context",
                )
        return f"each domain has sequences of {context} tokens"

    yield Check("training.mixtures", domains)
    yield Check("training.model.context", lengths)


def _epochs(config: PipelineConfig, epochs: Mapping[str, float]) -> str:
    check_epochs(config.training, epochs)
    if not epochs:
        return "unknown, as the tokens that there are of each domain are not"
    most = max(epochs, key=lambda domain: epochs[domain])
    return f"{most} is read most often, {epochs[most]:.2f} times"
