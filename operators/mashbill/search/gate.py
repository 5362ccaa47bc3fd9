"""The gate stage: is the predicted gain over natural above the noise, and worth the cluster?"""

from mashbill.artifacts import Counts, StageRun
from mashbill.errors import RunError
from mashbill.mixtures import Choice, Decision

OUTPUTS = {Decision.FILE: "train, ask or refuse, and why"}


def gate(run: StageRun) -> Counts:
    """Decide: train, or ask a person.

    Raises:
        RunError: the gain is within the noise and the config says refuse.
    """
    config, choice = run.config.gate, Choice.read(run.inputs["mix"])
    gain, (low, high) = choice.gain, choice.gain_interval
    words = f"predicted gain over natural {gain:.4f} bits per byte, interval {low:.4f} to {high:.4f}"
    decision: str = "train"
    reason = f"{words}: above the noise"
    if low <= 0 or gain < config.min_gain:
        why = "within the noise" if low <= 0 else f"under the {config.min_gain:g} demanded"
        decision = config.within_noise
        reason = f"{words}: {why}"
        if decision == "refuse":
            mend = (
                "train more proxies (plan.mixtures, sweep.tokens), or set gate.within_noise to ask or train"
            )
            raise RunError("gate", reason, mend)
    made = Decision(decision=decision, reason=reason, gain=gain, gain_interval=choice.gain_interval)
    made.write(run.output)
    return dict(made.as_json())
