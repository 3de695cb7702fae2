"""Keeps the C allocator from handing memory back to the kernel after every layer, which costs a training step a fifth.

Call before torch is imported. Only glibc has the switches; elsewhere nothing changes.
Source: mallopt(3); the gain is measured in `experiments/benchmarks/`.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Whether the allocator took the setting."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
