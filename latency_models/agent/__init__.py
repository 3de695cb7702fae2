"""What runs on a device: each file stands alone and needs Python 3.6, numpy and a runtime, nothing else."""
