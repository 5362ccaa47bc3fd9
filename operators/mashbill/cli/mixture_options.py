"""What the commands of ``mashbill mixtures`` are given: tables of tokens, and weights by name."""

from pathlib import Path

from mashbill.errors import ConfigError, DataError


def read_tokens(path: Path) -> dict[str, float]:
    """Tokens by domain from a CSV.

    Raises:
        DataError: a column is missing, or a number is none.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path)
        tokens = {str(d): float(t) for d, t in zip(frame["domain"], frame["tokens"], strict=True)}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(str(path), f"is no table of tokens ({error})", "give a CSV with columns domain,tokens") from error
    wrong = [d for d, t in tokens.items() if not 0 < t < float("inf")]
    if wrong:
        raise DataError(f"{path}: domain {wrong[0]}", f"has {tokens[wrong[0]]:g} tokens", "give a number above 0 or leave the domain out")
    return tokens


def read_weights(given: list[str], option: str) -> dict[str, float]:
    """NAME=NUMBER options; a name alone weighs 1. Targets are made to sum to 1."""
    weights: dict[str, float] = {}
    for text in given:
        name, equals, number = text.rpartition("=") if "=" in text else (text, "", "1")
        try:
            weights[name] = float(number) if equals else 1.0
        except ValueError as error:
            raise ConfigError(f"{option} {text}", f"has {number!r} for a number", "write NAME=0.5") from error
    if option == "--target":
        total = sum(weights.values())
        if total <= 0 or min(weights.values()) < 0:
            raise ConfigError("--target", "has no positive weight", "give weights above 0")
        weights = {name: weight / total for name, weight in weights.items()}
    return weights
