"""A cluster to try things on by hand: ``PYTHONPATH=operators:tests python -m builders.cluster``.

It prints what a shell is to export: where the cluster is, and a path that has kubectl and helm; and which
folder a volume claim is. Its two nodes have eight GPUs each, as far as anybody counts them, and a queue
``research`` admits what comes.
"""

import signal
import tempfile
from pathlib import Path

from builders.cluster import Machine, cluster
from builders.kube.tools import helm_binary, kubectl_binary

GPUS = 8


def main() -> None:
    """Run pods until it is interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):  # handled and not blocked, as pods would inherit that
        signal.signal(number, lambda *_: None)
    machines = [Machine(name, gpus=GPUS) for name in ("node-a", "node-b")]
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder), machines) as here:
        here.add_queue("research")
        path = ":".join(str(binary.parent) for binary in (kubectl_binary(), helm_binary()))
        print(f'export KUBECONFIG={here.kubeconfig} PATH="{path}:$PATH"', flush=True)
        print(f"# volume claims: {folder}/claims/NAMESPACE/NAME", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
