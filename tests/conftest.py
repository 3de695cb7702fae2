import torch

torch.set_num_threads(1)  # networks this small are slower with more threads, and much slower where something else runs
