import signal

import torch

torch.set_num_threads(1)  # networks this small are slower with more threads, and much slower where something else runs

# A runner started in the background ignores Ctrl-C and so would everything that the tests start, also what they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
