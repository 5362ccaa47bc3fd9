"""GPUs as their makers describe them: dense bf16 FLOP/s and memory; what a run takes and costs on them.

Sources: NVIDIA's and AMD's data sheets, without sparsity. NVIDIA's sheets give bf16 with sparsity from Hopper
on: halved here.
"""

from dataclasses import dataclass

from mashbill.config.recipe import HardwareConfig

GIGA, TERA = 10**9, 10**12
HOUR = 3600.0


@dataclass(frozen=True)
class Card:
    """A processor.

    Attributes:
        name: as people call it.
        peak_flops: dense bf16 FLOP/s.
        memory_bytes: of its own.
        source: data sheet.
        device_names: parts of what CUDA calls it, lower case, that tell it from others.
    """

    name: str
    peak_flops: float
    memory_bytes: int
    source: str
    device_names: tuple[str, ...] = ()


CARDS = {
    "a100-40gb": Card(
        "A100 40GB", 312 * TERA, 40 * GIGA, "NVIDIA A100 data sheet", ("a100-sxm4-40gb", "a100-pcie-40gb")
    ),
    "a100-80gb": Card(
        "A100 80GB", 312 * TERA, 80 * GIGA, "NVIDIA A100 data sheet", ("a100-sxm4-80gb", "a100 80gb", "a100")
    ),
    "h100": Card("H100", 989.4 * TERA, 80 * GIGA, "NVIDIA H100 SXM data sheet", ("h100 80gb", "h100")),
    "h200": Card("H200", 989.4 * TERA, 141 * GIGA, "NVIDIA H200 SXM data sheet", ("h200",)),
    "gh200": Card("GH200", 989.4 * TERA, 96 * GIGA, "NVIDIA GH200 data sheet", ("gh200",)),
    "b200": Card("B200", 2_250 * TERA, 180 * GIGA, "NVIDIA DGX B200 data sheet", ("b200",)),
    "gb200": Card("GB200", 2_500 * TERA, 186 * GIGA, "NVIDIA GB200 NVL72 data sheet", ("gb200",)),
    "l40s": Card("L40S", 362 * TERA, 48 * GIGA, "NVIDIA L40S data sheet", ("l40s",)),
    "mi300x": Card("MI300X", 1_307.4 * TERA, 192 * GIGA, "AMD MI300X data sheet", ("mi300x",)),
}
OTHER_KINDS = {"h100 pcie": 756 * TERA, "h100 nvl": 835 * TERA}
"""Kinds of a card whose peak is another: they are known by their device's name alone."""


@dataclass(frozen=True)
class Machine:
    """The processors a run is planned for: a card of the table, with what the config says otherwise."""

    name: str
    peak_flops: float
    memory_bytes: int | None
    source: str


def machine(hardware: HardwareConfig) -> Machine | None:
    """The processor that a config plans for; None where it names none and gives no peak."""
    card = CARDS[hardware.name] if hardware.name else None
    if card is None and hardware.peak_tflops is None:
        return None
    peak = card.peak_flops if card else 0.0
    memory = card.memory_bytes if card else None
    return Machine(
        name=card.name if card else "processors",
        peak_flops=peak if hardware.peak_tflops is None else hardware.peak_tflops * TERA,
        memory_bytes=memory if hardware.memory_gb is None else round(hardware.memory_gb * GIGA),
        source="config" if card is None or hardware.peak_tflops else card.source,
    )


def peak_of_device(device_name: str, hardware: HardwareConfig) -> float | None:
    """Dense bf16 FLOP/s of a device that is there, for MFU; None where it is not known.

    Args:
        device_name: as ``torch.cuda.get_device_name`` gives it; anything for a CPU.
        hardware: a peak that it gives wins; a card that it names does not: MFU is of what is there.
    """
    if hardware.peak_tflops is not None:
        return hardware.peak_tflops * TERA
    name = device_name.lower()
    known: dict[str, float] = {**OTHER_KINDS}
    for card in CARDS.values():
        known |= dict.fromkeys(card.device_names, card.peak_flops)
    found = [part for part in known if part in name]
    return known[max(found, key=len)] if found else None


def expected_seconds(flops: float, peak_flops: float, *, processors: int, mfu: float) -> float:
    """Seconds of a run at a share of the peak."""
    return flops / (peak_flops * processors * mfu)


def expected_cost(seconds: float, *, processors: int, price: float) -> float:
    """What a run costs, at a price for a processor and hour."""
    return seconds / HOUR * processors * price
