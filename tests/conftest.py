import signal

from hypothesis import settings

# A runner started in the background ignores Ctrl-C and so would everything that the tests start, also what they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Laws are tried on a quarter of the usual examples, so that the default suite stays short; `make test-all` tries them all.
settings.register_profile("quick", max_examples=25)
settings.load_profile("quick")

LONGEST = ("end_to_end", "faults", "executors", "measuring", "conformance")
"""Folders whose files take longest. They come first, so that two processes end at about the same moment."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: next((place for place, name in enumerate(LONGEST) if name == item.path.parent.name), len(LONGEST)))
