"""One thread for linear algebra on small arrays, where more cost time: on two cores the power law took ten
times as long with two."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread within, in BLAS, OpenMP and torch, whatever else runs on the machine."""
    import scipy.linalg  # noqa: F401  (only libraries that are loaded can be limited, and SciPy has a BLAS of its own)
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
