"""Memory: of the C library, kept for the next batch instead of given back after each one; and when it is full.

glibc gives every large tensor pages of its own and returns them when the tensor goes, so that each batch begins by
touching thousands of pages that the kernel has to clear: 15,000 page faults and an eighth of the time of a
batch of 256 images in a network with 32 channels at 27×27.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of <malloc.h>
_LIMITS = (1 << 30, 32 << 20)  # older releases refuse more than 32 MiB


def keep_memory() -> bool:
    """Let the C library keep freed memory for reuse, for the rest of the process; False where it cannot.

    Only glibc can be told (others keep memory, or have no such switch).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function; no libc by this name
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    kept = any(mallopt(_MMAP_THRESHOLD, limit) for limit in _LIMITS)
    return bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1)) and kept


def is_full(error: BaseException) -> bool:
    """Whether `error` says that a device has no memory left; only CUDA has a kind of error for it."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def largest(fits: Callable[[int], None], batch_size: int) -> int:
    """The largest of `batch_size` / 2, / 4, … for which `fits` runs without filling the memory, or 0."""
    size = batch_size // 2
    while size:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            fits(size)
            return size
        except RuntimeError as error:
            if not is_full(error):
                raise
        size //= 2
    return 0
