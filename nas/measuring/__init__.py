"""Measuring a device: which target (`target`), what and in which order (`job`), as which files, kept how, and whether it still holds."""
