"""What every process that works for a driver does first: leave Ctrl-C to the driver, and leave with it."""

import multiprocessing
import os
import signal
import threading


def prepare(threads: int) -> None:
    """Makes this process a worker that gives torch `threads` threads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_driver, daemon=True).start()
    from nas.allocator import keep_freed_memory

    keep_freed_memory()
    import torch

    torch.set_num_threads(threads)


def _leave_with_driver() -> None:
    """Ends this process, whatever it is doing, when its driver is gone, however that ended."""
    driver = multiprocessing.parent_process()
    assert driver is not None, "a worker is started by a driver"
    driver.join()
    os._exit(1)
