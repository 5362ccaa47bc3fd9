"""The final training's step on one GPU at 1.1B parameters in bf16: tokens a second, MFU, peak memory.

    python benchmarks/gpu_training.py [--shape tinyllama-1.1b,openelm-1.1b] [--way zero1,zero0,ddp,peer]
        [--compile blocks,none,whole] [--micro 8,4,16] [--recompute 0,2] [--documents 0,1] [--steps 12]
    python benchmarks/gpu_training.py --small --device cpu     a look that it runs, on a tiny model

The first value of each option is the base; each other value is measured with the rest of the base. So is
every way: our step under DeepSpeed's ZeRO 1 or 0, our model under DistributedDataParallel, and the peer,
Hugging Face's LlamaForCausalLM (sdpa) under the same DeepSpeed settings; all with torch's fused AdamW. A
measurement is a process of its own. MFU is ``training.metrics``'s, against the card's dense bf16 peak: 6 N +
12 L d T, N without the input embedding; where documents are kept apart, T is their mean span.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from gpu_steps import Case, Figures, measured
from measure import require_gpu
from page import Page

TARGET_MFU = 0.55
COLUMNS = (
    "shape, way, compile, micro-batch, recompute, documents",
    "tokens a second (spread)",
    "MFU",
    "peak memory, GB",
    "first step, seconds",
)
OPTIONS = {
    "shape": "tinyllama-1.1b,openelm-1.1b",
    "way": "zero1,zero0,ddp,peer",
    "compile": "blocks,none,whole",
    "micro": "8,4,16",
    "recompute": "0,2",
    "documents": "0,1",
}
SMALL = {"shape": "small", "compile": "none", "micro": "2", "recompute": "0,1"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in OPTIONS.items():
        parser.add_argument(f"--{name}", help=f"values, the base first; by default {default}")
    parser.add_argument("--steps", type=int, default=12, help="measured, after two that warm up")
    parser.add_argument("--accumulate", type=int, default=8, help="micro-batches of a step")
    parser.add_argument("--longest", type=float, default=240.0, help="seconds of a case")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--peak-tflops", type=float, help="of a card that is not known")
    parser.add_argument("--small", action="store_true", help="a tiny model, and nothing is kept")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        case = Case(**json.loads(arguments.one))
        print("FIGURES" + json.dumps(measured(case, arguments)), flush=True)
        os._exit(0)  # threads of process groups now and then abort an orderly end
    refuse(arguments)
    page = Page(
        "gpu_training",
        f"A step at {'a tiny size' if arguments.small else '1.1B in bf16'} on one {device(arguments)}",
    )
    compare(page, arguments)
    if not arguments.small:
        page.save()


def refuse(arguments: argparse.Namespace) -> None:
    """End with a line where there is nothing to measure on."""
    if arguments.device == "cuda":
        require_gpu("try it with --small --device cpu")
    if arguments.device == "cpu" and not arguments.small:
        sys.exit("gpu_training: 1.1B is too much for a CPU; add --small")


def device(arguments: argparse.Namespace) -> str:
    """The processor's name."""
    import torch

    return torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """The base, and each other value of each option with the rest of the base."""
    values = {
        name: (getattr(arguments, name) or (arguments.small and SMALL.get(name)) or default).split(",")
        for name, default in OPTIONS.items()
    }
    base = {name: given[0] for name, given in values.items()}
    others = ({**base, name: value} for name, given in values.items() for value in given[1:])
    for one in itertools.chain([base], others):
        micro, recompute, documents = (int(one[name]) for name in ("micro", "recompute", "documents"))
        yield Case(one["shape"], one["way"], one["compile"], micro, recompute, documents)


def compare(page: Page, arguments: argparse.Namespace) -> None:
    """A row a case, and what they say together."""
    page.table(COLUMNS)
    found: dict[Case, Figures] = {}
    for case in cases(arguments):
        figures = apart(case, arguments.longest)
        if "trouble" in figures:
            page.row([case.words, str(figures["trouble"]), "-", "-", "-"])
            continue
        found[case] = figures
        rates = sorted(figures["rates"])
        mfu = "not known" if figures["mfu"] is None else f"{figures['mfu']:.1%}"
        rate = f"{statistics.median(rates):,.0f} ({rates[0]:,.0f}-{rates[-1]:,.0f})"
        page.row([case.words, rate, mfu, f"{figures['peak'] / 1e9:.1f}", f"{figures['first']:.1f}"])
    say_best(page, found)
    say_ratios(page, found)


def say_best(page: Page, found: dict[Case, Figures]) -> None:
    """Our best against the target."""
    ours = {case: one["mfu"] for case, one in found.items() if case.way != "peer" and one["mfu"] is not None}
    for shape in dict.fromkeys(case.shape for case in ours):
        best = max((case for case in ours if case.shape == shape), key=lambda case: ours[case])
        reached = "reached" if ours[best] >= TARGET_MFU else "MISSED"
        words = (
            f"{shape} at its best: {ours[best]:.1%} MFU ({best.words}); wanted {TARGET_MFU:.0%}: {reached}."
        )
        page.say(words, **{f"{shape}_mfu": ours[best]})


def say_ratios(page: Page, found: dict[Case, Figures]) -> None:
    """Our base against the other ways that the same step was taken."""
    base = next(iter(found), None)
    for case, figures in found.items():
        if base is None or case == base or case.way == base.way:
            continue
        faster = statistics.median(found[base]["rates"]) / statistics.median(figures["rates"])
        smaller = found[base]["peak"] / figures["peak"]
        words = f"{base.way} makes {faster:.2f} times the tokens a second of {case.way}"
        page.say(
            f"{words} in {smaller:.2f} of its memory.",
            **{f"{case.way}_faster": faster, f"{case.way}_smaller": smaller},
        )


def apart(case: Case, longest_seconds: float) -> Figures:
    """One measurement in a process of its own; or, as trouble, why there is none: the others go on."""
    command = [sys.executable, __file__, *sys.argv[1:], "--one", json.dumps(case.__dict__)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=longest_seconds)
    except subprocess.TimeoutExpired:
        return {"trouble": f"not done in {longest_seconds:g} s"}
    line = next((line for line in done.stdout.splitlines() if line.startswith("FIGURES")), None)
    if line is None:
        print(f"{case.words} failed:\n{done.stderr[-2_000:]}", file=sys.stderr)
        return {"trouble": "failed"}
    figures: Figures = json.loads(line.removeprefix("FIGURES"))
    return figures


if __name__ == "__main__":
    main()
