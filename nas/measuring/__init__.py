"""Measuring a device: which target (`target`), what and in which order (`job`, `probes`), as which `files`, kept how (`journal`), made
into a table (`tables`), and whether it still holds (`check`).
"""
