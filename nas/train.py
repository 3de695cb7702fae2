"""`python -m nas.train`: train a supernet once, for searches on any number of devices."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nas.cli import epilog, messages, output, run

PRECISIONS = ("auto", "fp32", "bf16")

app = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """
[bold]Examples[/]

  python -m nas.train --data folder:photos --epochs 60 --out photos.safetensors

  python -m nas.search --device jetson-nano --budget 20ms --data folder:photos --weights photos.safetensors

  python -m nas.train --space mobilenet_v3 --init ofa:ofa_mbv3_d234_e346_k357_w1.0 --out ofa.safetensors

  torchrun --nproc-per-node 2 -m nas.train --data folder:photos --batch-size 128 --out photos.safetensors

The same command again continues a training that was stopped. With --init and without --epochs nothing is trained: Once-for-All's
weights are only translated, for nas.search --weights.
"""


@app.command(epilog=epilog(EXAMPLES))
def train(
    out: Annotated[Path, typer.Option(help="Checkpoint to write, and to continue from (.safetensors).")],
    data: Annotated[str, typer.Option(help="Images: embedded, idx:PATH, folder:PATH or hf:NAME.")] = "embedded",
    space: Annotated[str, typer.Option(help="Search space: a file in search_spaces/.")] = "mobile_shuffle_32",
    init: Annotated[
        str, typer.Option(help="Once-for-All weights to begin with: ofa:PATH, or ofa-features:PATH for all but the classifier.")
    ] = "",
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="Passes over the training images.", show_default="what nas.search does")
    ] = None,
    random_networks: Annotated[
        int | None, typer.Option(min=0, help="Sampled networks a step.", show_default="what nas.search does")
    ] = None,
    sandwich_every: Annotated[
        int | None,
        typer.Option(
            min=0, help="Steps from one sandwich of largest and smallest to the next; 0: none.", show_default="what nas.search does"
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=8, help="Images a step, of all processes together.", show_default="what nas.search does")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0.0, help="Peak of the schedule.", show_default="what nas.search does")] = None,
    label_smoothing: Annotated[float | None, typer.Option(min=0.0, max=0.9, help="Share of a label for all classes alike.")] = None,
    drop_path: Annotated[float | None, typer.Option(min=0.0, max=0.9, help="Of the largest network's last residual block.")] = None,
    max_shift: Annotated[float | None, typer.Option(min=0.0, max=0.49, help="Random shift, share of an image's size.")] = None,
    augment: Annotated[
        Literal["auto", "shift", "photo"],
        typer.Option(help="Random changes: shift and mirror; crop, mirror, RandAugment; auto: that for photographs and 20 epochs or more."),
    ] = "auto",
    flip: Annotated[
        bool | None, typer.Option(help="Mirror images at random.", show_default="unless classes are called by numbers or letters")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 on a GPU that has it.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Decides every random choice, and which images are for validation.")] = 0,
) -> None:
    """Trains the shared weights of a search space: sandwich rule, in-place distillation."""
    from nas.allocator import keep_freed_memory

    keep_freed_memory()
    from dataclasses import replace

    import torch

    import search_spaces
    from nas import data as images
    from nas import distributed, ofa_weights
    from nas.core.errors import UnknownNameError
    from nas.display import Silent, Terminal
    from nas.settings import SupernetSettings
    from nas.supernet import Supernet
    from nas.supernet_training import keep_converted, train_resumably

    chosen = search_spaces.load(space)
    begun = ofa_weights.from_option(init) if init else None
    if begun and epochs is None:
        keep_converted(ofa_weights.converted(chosen, begun), out)
        output.print(f"Translated, not trained: {out} ({begun.classes} classes)", markup=False, highlight=False)
        return
    if precision not in PRECISIONS:
        raise UnknownNameError("precision to train in", precision, PRECISIONS)
    settings = SupernetSettings().changed(
        epochs=epochs,
        random_networks=random_networks,
        sandwich_every=sandwich_every,
        batch_size=batch_size,
        learning_rate=learning_rate,
        label_smoothing=label_smoothing,
        drop_path=drop_path,
        max_shift=max_shift,
        augment=augment,
        precision=precision,
    )
    team = distributed.join()
    loaded = team.in_turn(lambda: images.load(data, chosen.resolutions[-1], seed))
    loaded = loaded if flip is None else replace(loaded, mirrors=flip)
    torch.manual_seed(seed)
    supernet = Supernet(chosen, loaded.channels, len(loaded.classes))
    if begun:
        ofa_weights.copy_into(supernet, begun)
    display = Terminal(messages) if team.leads else Silent()
    try:
        train_resumably(supernet, loaded, settings, seed, out, display, began_with=init, team=team)
    finally:
        distributed.leave(team)
    if team.leads:
        output.print(f"Trained: {out}", markup=False, highlight=False)


if __name__ == "__main__":
    run(app)
