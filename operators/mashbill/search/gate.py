"""The gate stage: is the predicted gain over natural above the noise, and worth the cluster?"""

import json

from mashbill.artifacts import Counts, StageRun
from mashbill.errors import RunError


def gate(run: StageRun) -> Counts:
    """Write ``decision.json``: train, or ask a person.

    Raises:
        RunError: the gain is within the noise and the config says refuse.
    """
    config = run.config.gate
    choice = json.loads((run.inputs["mix"].path / "choice.json").read_text())
    gain, (low, high) = choice["gain"], choice["gain_interval"]
    words = f"predicted gain over natural {gain:.4f} bits per byte, interval {low:.4f} to {high:.4f}"
    decision: str = "train"
    reason = f"{words}: above the noise"
    if low <= 0 or gain < config.min_gain:
        why = "within the noise" if low <= 0 else f"under the {config.min_gain:g} demanded"
        decision = config.within_noise
        reason = f"{words}: {why}"
        if decision == "refuse":
            raise RunError(
                "gate",
                reason,
                "train more proxies (plan.mixtures, sweep.tokens), or set gate.within_noise to ask or train",
            )
    record = {"decision": decision, "reason": reason, "gain": gain, "gain_interval": [low, high]}
    (run.output / "decision.json").write_text(json.dumps(record, indent=1))
    return record
