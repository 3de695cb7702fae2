"""`python -m nas.train`: train a supernet once, for searches on any number of devices."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli import epilog, messages, output, run

app = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """
[bold]Examples[/]

  python -m nas.train --data folder:photos --epochs 60 --out photos.safetensors

  python -m nas.search --device jetson-nano --budget 20ms --data folder:photos --weights photos.safetensors

The same command again continues a training that was stopped.
"""


@app.command(epilog=epilog(EXAMPLES))
def train(
    out: Annotated[Path, typer.Option(help="Checkpoint to write, and to continue from (.safetensors).")],
    data: Annotated[str, typer.Option(help="Images: embedded, idx:PATH, folder:PATH or hf:NAME.")] = "embedded",
    space: Annotated[str, typer.Option(help="Search space: a file in search_spaces/.")] = "mobile_shuffle_32",
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="Passes over the training images.", show_default="what nas.search does")
    ] = None,
    random_networks: Annotated[
        int | None, typer.Option(min=0, help="Sampled networks a step.", show_default="what nas.search does")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every random choice, and which images are for validation.")] = 0,
) -> None:
    """Trains the shared weights of a search space: sandwich rule, in-place distillation."""
    from nas.allocator import keep_freed_memory

    keep_freed_memory()
    import torch

    import search_spaces
    from nas import data as images
    from nas.display import Terminal
    from nas.settings import SupernetSettings
    from nas.supernet import Supernet
    from nas.supernet_training import train_resumably

    chosen = search_spaces.load(space)
    settings = SupernetSettings().changed(epochs=epochs, random_networks=random_networks)
    loaded = images.load(data, chosen.resolutions[-1], seed)
    torch.manual_seed(seed)
    supernet = Supernet(chosen, loaded.channels, len(loaded.classes))
    train_resumably(supernet, loaded, settings, seed, out, Terminal(messages))
    output.print(f"Trained: {out}", markup=False, highlight=False)


if __name__ == "__main__":
    run(app)
