"""Neural-architecture search that targets hardware budgets. Start reading at `nas/pipeline.py`."""

__version__ = "0.1.0"
