"""How many tokens there are of each domain, as a table of one's own says."""

from pathlib import Path

from mashbill.errors import DataError
from mashbill.mixtures.mixture import read_frame


def read_amounts(path: Path) -> dict[str, float]:
    """Tokens by domain from a CSV.

    Raises:
        DataError: a column is missing, a domain stands twice, or a number is none.
    """
    needed = "columns domain,tokens"
    frame = read_frame(path, needed)
    for column in ("domain", "tokens"):
        if column not in frame:
            raise DataError(str(path), f"has no column {column}", f"give a CSV with {needed}")
    if frame.empty:
        raise DataError(str(path), "has no rows", "add a row for each domain")
    tokens: dict[str, float] = {}
    for domain, amount in zip(frame["domain"].astype(str), frame["tokens"], strict=True):
        where = f"{path}: domain {domain}"
        if domain in tokens:
            raise DataError(where, "stands twice", "keep one row a domain")
        try:
            tokens[domain] = float(amount)
        except ValueError as error:
            raise DataError(
                where, f"has {amount!r:.40} for a number of tokens", "correct the cell"
            ) from error
        if not 0 < tokens[domain] < float("inf"):
            raise DataError(
                where, f"has {tokens[domain]:g} tokens", "give a number above 0 or leave the domain out"
            )
    return tokens
