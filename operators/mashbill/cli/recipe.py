"""``mashbill train --dry-run``: what a training recipe amounts to, and what would stop it, without a GPU."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mashbill.cli.answers import show
from mashbill.cli.forecast import finished_forecast, forecast_words
from mashbill.config import PipelineConfig, load_config, parse_overrides
from mashbill.errors import ConfigError, DataError, Problems, RunError
from mashbill.storage import LOCAL, scheme_of

if TYPE_CHECKING:
    from mashbill.training.dry_run import DryRun, Known
    from mashbill.training.numbers import Figure

Row = tuple[str, str, str]


def print_dry_run(path: Path, assignments: list[str], available: Path | None, *, as_json: bool) -> None:
    """Print all that is known of a training before it begins.

    Raises:
        ConfigError: something would stop it; all of it is named.
    """
    from mashbill.training.dry_run import dry_run

    config = load_config(path, parse_overrides(assignments))
    known = known_of(config, available)
    found = dry_run(config, known)
    foreseen = None
    if found.figures and not known.unseen:
        foreseen = finished_forecast(config, found.figures.parameters)
    if as_json:
        values, figures = asdict(found), found.figures.model_dump() if found.figures else {}
        del values["figures"]
        said = {"forecast": foreseen.as_json()} if foreseen else {}
        print(json.dumps({**figures, **values, **said}))  # noqa: T201
    else:
        _show(path, config, found)
        show(*(forecast_words(foreseen) if foreseen else ()))
    if found.problems:
        errors = [ConfigError(problem.setting, problem.what, problem.mend) for problem in found.problems]
        raise Problems(errors)


def known_of(config: PipelineConfig, available: Path | None) -> "Known":
    """What is there of tokens and mixture: of a file, else of artifacts, wherever they are; where a store
    cannot be looked at, that is told.

    Raises:
        DataError: the file, or an artifact, will not do.
    """
    from mashbill.training.dry_run import Known

    if available is not None:
        return Known(tokens=read_available(available, config.mixture_names))
    if scheme_of(config.resolve(config.artifacts)) == LOCAL:
        return _known_of_artifacts(config)
    try:
        return _known_of_artifacts(config)
    except (ConfigError, RunError) as error:
        return Known(unseen=f"what is there of tokens is left open, as it cannot be looked at: {error}")


def _known_of_artifacts(config: PipelineConfig) -> "Known":
    from mashbill.artifacts import open_store
    from mashbill.mixtures import Choice
    from mashbill.stages import finished_stages
    from mashbill.tokens import TokenStore
    from mashbill.training.dry_run import Known

    if not open_store(config).manifests("tokenize"):
        return Known()
    done = finished_stages(config)
    if "tokenize" not in done:
        return Known()
    name = next((name for name in config.training.mixtures if name != "scheduled"), None)
    mixtures = Choice.read(done["mix"]).mixtures if "mix" in done else {}
    return Known.of_shards(TokenStore(done["tokenize"]), mixtures.get(name or "chosen"))


def read_available(path: Path, domains: Sequence[str]) -> dict[str, int]:
    """Tokens available of each domain, from a CSV with columns ``domain`` and ``tokens``.

    Raises:
        DataError: the file is missing, lacks a domain, or has no number above 0 for one.
    """
    from mashbill.mixtures.amounts import read_amounts

    tokens = read_amounts(path)
    missing = [domain for domain in domains if domain not in tokens]
    if missing:
        raise DataError(str(path), f"has no row of domain {missing[0]}", "add it")
    return {domain: int(tokens[domain]) for domain in domains}


def _show(path: Path, config: PipelineConfig, found: "DryRun") -> None:
    if found.figures is not None:
        rows = [*_size_rows(found), *_recipe_rows(found), *_expense_rows(config, found)]
        wide = max(len(name) for name, _, _ in rows)
        show(f"{path}: the recipe")
        for name, value, source in rows:
            show(f"  {name:{wide}}  {value}" + (f"  ({source})" if source else ""))
        _show_columns("what is read of each domain", _domain_rows(found))
    micro = config.training.micro_batch_sequences
    _show_columns(f"memory of a rank, micro-batches of {micro} sequences", _memory_rows(config, found))
    for words in (*found.idle, *filter(None, [found.unseen])):
        show(f"note: {words}")
    for setting, words in found.found.items():
        show(f"checked: {setting}: {words}")


def _show_columns(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Rows under a title, the first column to the left, others to the right."""
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    show(title)
    for row in rows:
        numbers = (f"{cell:>{width}}" for cell, width in zip(row[1:], wide[1:], strict=True))
        show(f"  {row[0]:{wide[0]}}  {'  '.join(numbers)}")


def _size_rows(found: "DryRun") -> Iterator[Row]:
    from mashbill.training.amounts import count, flops

    figures = found.figures
    assert figures is not None
    outside = figures.parameters - found.non_embedding_parameters
    yield "parameters", count(figures.parameters), "shape and vocabulary"
    yield "  embeddings of them", count(outside), ""
    yield "FLOP a token", f"{figures.flops_per_token / 1e9:.4g} GFLOP", "6 N + 12 L d T"
    yield "FLOP of the run", flops(figures.training_flops), ""


def _recipe_rows(found: "DryRun") -> Iterator[Row]:
    from mashbill.training.amounts import count, rate, short

    figures, numbers = found.figures, found.numbers
    assert figures is not None
    tokens = figures.steps * figures.batch_tokens
    yield "tokens", f"{short(tokens)} ({count(tokens)})", _source(numbers["tokens"])
    yield "steps", count(figures.steps), _source(numbers["steps"])
    batch = f"{count(figures.batch_tokens)} tokens, {numbers['batch_sequences'].value} sequences"
    yield "batch", batch, _source(numbers["batch_sequences"])
    micro = f"{figures.world_size} processes x {figures.gradient_accumulation} micro-batches"
    yield "  cut into", micro, ""
    for name, words in (("warmup_steps", "warm-up"), ("decay_steps", "decay")):
        steps = int(numbers[name].value)
        if steps:
            amount = f"{count(steps)} steps, {short(steps * figures.batch_tokens)} tokens"
            yield words, amount, _source(numbers[name])
    for name in ("learning_rate", "min_learning_rate"):
        yield name.replace("_", " "), rate(numbers[name].value), _source(numbers[name])
    for name in ("weight_decay", "gradient_clip"):
        yield name.replace("_", " "), f"{numbers[name].value:g}", _source(numbers[name])


def _expense_rows(config: PipelineConfig, found: "DryRun") -> Iterator[Row]:
    from mashbill.training.amounts import count, duration, short, size

    figures, spent, disk = found.figures, found.expense, found.storage
    assert figures is not None
    if spent is None:
        yield "time", "unknown", "set training.hardware.name"
    else:
        where = f"{count(figures.world_size)} {spent.hardware} at {spent.mfu:.0%} MFU"
        peak = f"{spent.peak_flops / 1e12:.4g} TFLOP/s dense bf16, {spent.source}"
        yield "time", f"{duration(spent.seconds)} on {where}", peak
        yield "speed", f"{short(spent.tokens_per_second)} tokens/s", ""
        cost = "" if spent.cost is None else f", which cost {count(spent.cost)}"
        yield "processor hours", f"{count(spent.processor_hours)}{cost}", "training.hardware.price"
    if disk is not None:
        kept = f"{disk.checkpoints} of {size(disk.checkpoint_bytes)} are kept"
        yield "checkpoints", kept, "12 bytes a parameter"
        yield "storage", size(disk.total_bytes), f"with an export of {size(disk.export_bytes)}"
    models = len(config.training.mixtures)
    if models > 1:
        yield "models", f"{models}, each of these figures", "training.mixtures"


def _domain_rows(found: "DryRun") -> list[Sequence[str]]:
    from mashbill.training.amounts import short

    figures = found.figures
    assert figures is not None
    rows: list[Sequence[str]] = [("domain", "tokens", "epochs")]
    for domain, tokens in figures.tokens_by_domain.items():
        epochs = figures.epochs_by_domain.get(domain)
        rows.append((domain, short(tokens), "unknown" if epochs is None else f"{epochs:.2f}"))
    return rows


def _memory_rows(config: PipelineConfig, found: "DryRun") -> list[Sequence[str]]:
    from mashbill.training.amounts import size

    heads = ("weights", "gradients", "optimiser", "activations", "logits", "total")
    rows: list[Sequence[str]] = [("ZeRO", *heads)]
    for name, memory in found.memory.items():
        chosen = " (set)" if name == f"zero {config.training.zero_stage}" else ""
        rows.append((f"{name[-1]}{chosen}", *(size(getattr(memory, head)) for head in heads)))
    return rows


def _source(figure: "Figure") -> str:
    return f"{figure.source}: {figure.note}" if figure.note else figure.source
