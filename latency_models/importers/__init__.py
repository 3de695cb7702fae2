"""One file a published data set: reads it into operators and latencies, for fitting."""
