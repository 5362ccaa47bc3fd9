"""The rounds of proxies after a sweep, and what more runs promised before each."""

from mashbill.artifacts import Part, RecordOf


class Round(Part):
    """One round.

    Attributes:
        round: its name.
        proxies, failed, tokens: what it trained; nothing where it promised too little.
        gain: loss that more runs could win, on average; gain_90: exceeded in one case of ten.
    """

    round: str
    proxies: int
    failed: int
    tokens: int
    gain: float
    gain_90: float


class Rounds(RecordOf[tuple[Round, ...]]):
    """All rounds, in order."""

    FILE = "rounds.json"
