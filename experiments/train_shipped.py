"""Trains the supernet that comes with the package: `nas/embedded/mobile_shuffle_32.safetensors`.

    python -m experiments.train_shipped --work FOLDER        about 40 minutes on one core; the same command again continues

It sees the training images of the embedded data alone, as a search with `--seed 0` divides them, for longer than a search
would wait for: a run that finds these weights fitting takes them instead of training its own.
"""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli import messages, output, run

SPACE, DATA, SEED = "mobile_shuffle_32", "embedded", 0

app = typer.Typer(add_completion=False, help=(__doc__ or "").splitlines()[0])


@app.command()
def train(
    work: Annotated[Path, typer.Option(help="Folder of the training's checkpoint.")],
    epochs: Annotated[float, typer.Option(help="Passes over the 4,000 training images.")] = 60,
    learning_rate: Annotated[float, typer.Option()] = 0.1,
    random_networks: Annotated[int, typer.Option(min=0, help="Sampled networks a step, beside largest and smallest.")] = 2,
    sandwich_every: Annotated[int, typer.Option(min=0, help="Largest and smallest every so many steps, else sampled ones.")] = 8,
    weight_decay: Annotated[float, typer.Option()] = 5e-4,
    label_smoothing: Annotated[float, typer.Option()] = 0.1,
    max_shift: Annotated[float, typer.Option(help="Random shift, share of an image's size.")] = 0.08,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="in the package")] = None,
) -> None:
    """Trains, and writes the averaged weights alone."""
    import torch

    import search_spaces
    from nas import data as images
    from nas.display import Terminal
    from nas.settings import SupernetSettings
    from nas.supernet import Supernet
    from nas.supernet_training import SHIPPED, keep_weights, train_resumably

    space = search_spaces.load(SPACE)
    data = images.load(DATA, space.resolutions[-1], SEED)
    settings = SupernetSettings(
        epochs=epochs,
        learning_rate=learning_rate,
        random_networks=random_networks,
        sandwich_every=sandwich_every,
        by_macs=False,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        max_shift=max_shift,
    )
    torch.manual_seed(SEED)
    supernet = Supernet(space, data.channels, len(data.classes))
    work.mkdir(parents=True, exist_ok=True)
    train_resumably(supernet, data, settings, SEED, work / f"{SPACE}.safetensors", Terminal(messages))
    path = out or SHIPPED / f"{SPACE}.safetensors"
    keep_weights(supernet, data, path)
    output.print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", markup=False, highlight=False)


if __name__ == "__main__":
    run(app)
