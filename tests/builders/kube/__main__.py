"""A Kubernetes API to try things on by hand: ``PYTHONPATH=tests python -m builders.kube``."""

import signal

from builders.kube.api import kubernetes_api


def main() -> None:
    """Serve until it is interrupted."""
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with kubernetes_api() as api:
        print(f"export KUBECONFIG={api.kubeconfig}", flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
