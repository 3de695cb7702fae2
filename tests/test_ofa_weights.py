"""Once-for-All's checkpoints: the networks that they become are the authors' own, and everything else is refused."""

import random
import re
from functools import cache
from pathlib import Path

import pytest
import torch

import search_spaces
from nas import ofa_weights, train
from nas.core.errors import CheckpointError, UnknownNameError
from nas.display import Silent
from nas.network import Network, recalibrate
from nas.settings import SupernetSettings
from nas.supernet import Supernet
from nas.supernet_training import keep_converted, load_trained, train_resumably
from search_spaces import blocks
from tests import ofa_package, tiny

CLASSES = 10
SPACES = sorted(ofa_package.WIDTHS)
every_width = pytest.mark.parametrize("name", SPACES)


@cache
def theirs_and_ours(name, folder):
    """The package's network, and our supernet with its weights, read from its checkpoint."""
    theirs = ofa_package.elastic_network(name, CLASSES)
    torch.save({"epoch": 1, "state_dict": theirs.state_dict()}, folder / f"{name}.pt")
    return theirs, ofa_weights.converted(search_spaces.load(name), ofa_weights.from_option(f"ofa:{folder / name}.pt"))


def give_statistics(network, theirs, space):
    """Gives our stand-alone `network` the first of the package's running means and variances, as its own networks take them."""
    state = {ofa_weights.spelt(name): tensor for name, tensor in theirs.state_dict().items()}
    kinds = dict(zip(network.spec.slots, (block.kind for block in network.spec.blocks), strict=True))
    for name, own in network.named_buffers():
        slot, _, rest = name.partition(".")
        shared = state[ofa_weights.theirs(space, f"{slot}.{kinds[slot]}.{rest}")]
        own.copy_(shared[: len(own)] if own.ndim else shared)


@torch.no_grad()
def compare(name, folder, architectures):
    """Outputs of the same network here and in the package, with three kinds of batch-norm statistics.

    The package's own, carried over; those of the batch (training mode); and those that each measures on the same images. The
    latter two in double precision, on images of 64 px: statistics of few pixels enlarge what single precision rounds.
    """
    theirs, ours = theirs_and_ours(name, folder)
    for architecture in architectures:
        spec = ours.space.network(architecture, 3, CLASSES)
        images = ofa_package.pictures(2, spec.resolution)
        ofa_package.activate(theirs, ours.space, architecture)
        extracted, their_own = ours.extract(spec), theirs.get_active_subnet()
        give_statistics(extracted, theirs, ours.space)
        found = extracted(images)
        same(found, theirs.eval()(images))
        same(found, their_own.eval()(images))

        extracted, their_own, images = extracted.double(), their_own.double(), ofa_package.pictures(2, 64).double()
        same(extracted.train()(images), their_own.train()(images))
        recalibrate(extracted, images)
        recalibrate(their_own, images)
        found = extracted(images)
        same(found, their_own(images))
        assert found.std(dim=0).mean() > 1e-2, "images that give the same prove nothing"


def same(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def drawn(space, count, seed):
    chance = random.Random(seed)
    return [space.architecture([chance.randrange(gene.options) for gene in space.genes]) for _ in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ofa")


def test_networks_compute_what_those_of_the_package_compute(folder):
    space = search_spaces.load("mobilenet_v3")
    small = [space.architecture((0, *architecture.genes[1:])) for architecture in drawn(space, 2, 0)]
    compare("mobilenet_v3", folder, [space.smallest(), *small])


@pytest.mark.slow
@every_width
def test_many_networks_of_either_width_compute_what_those_of_the_package_compute(name, folder):
    space = search_spaces.load(name)
    compare(name, folder, [space.smallest(), space.largest(), *drawn(space, 26, 1)])


@every_width
def test_the_largest_network_has_the_macs_and_parameters_that_the_package_counts(name):
    space = search_spaces.load(name)
    theirs = ofa_package.elastic_network(name, 1000)
    spec = space.network(space.largest(), 3, 1000)
    ofa_package.activate(theirs, space, space.largest())
    macs, parameters = ofa_package.macs_and_parameters(theirs.get_active_subnet(), spec.resolution)
    assert macs == pytest.approx(blocks.macs(spec), rel=1e-7)
    assert parameters == sum(parameter.numel() for parameter in Network(spec).parameters())


# Without the package: a checkpoint as its authors would write it, made from our own names.


def checkpoint(space, channels=3, classes=CLASSES):
    torch.manual_seed(0)
    supernet = Supernet(space, channels, classes)
    return supernet, {ofa_weights.theirs(space, name): parameter.detach() for name, parameter in supernet.named_parameters()}


def saved(tensors, folder, name="weights.pt"):
    torch.save(tensors, folder / name)
    return folder / name


W10 = search_spaces.load("mobilenet_v3")


def test_every_spelling_of_the_authors_is_read(tmp_path):
    supernet, tensors = checkpoint(W10)
    older = {name.replace(".conv.depth", ".mobile_inverted_conv.depth").replace("bn.", "bn.bn."): one for name, one in tensors.items()}
    older = {re.sub(r"point_linear\.conv\.", "point_linear.conv.conv.", name): one for name, one in older.items()}
    older["blocks.3.conv.point_linear.bn.bn.num_batches_tracked"] = torch.tensor(7)
    found = ofa_weights.converted(W10, ofa_weights.read(saved(older, tmp_path)))
    for name, parameter in supernet.named_parameters():
        assert torch.equal(found.get_parameter(name), parameter), name


def test_translated_weights_are_for_any_data_of_as_many_classes(tmp_path):
    tiny_data = tiny.images()
    weights = ofa_weights.read(saved(checkpoint(W10, 1, tiny.CLASSES)[1], tmp_path))
    supernet = ofa_weights.converted(W10, weights)
    keep_converted(supernet, tmp_path / "out.safetensors")
    fresh = Supernet(W10, 1, tiny.CLASSES)
    load_trained(fresh, tiny_data, tmp_path / "out.safetensors")
    assert all(torch.equal(fresh.get_parameter(name), one) for name, one in supernet.named_parameters())
    with pytest.raises(CheckpointError, match="is of classes 3, this run is of classes 4"):
        load_trained(Supernet(W10, 1, 4), tiny_data, tmp_path / "out.safetensors")
    with pytest.raises(CheckpointError, match="exists and may hold trained weights"):
        keep_converted(supernet, tmp_path / "out.safetensors")


def test_the_command_translates_and_says_that_nothing_was_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("nas.allocator.keep_freed_memory", lambda: None)
    weights = saved(checkpoint(W10)[1], tmp_path)
    train.train(tmp_path / "out.safetensors", space="mobilenet_v3", init=f"ofa:{weights}")
    assert "Translated, not trained" in capsys.readouterr().out
    assert (tmp_path / "out.safetensors").stat().st_size > 25e6


def test_a_training_that_began_with_such_weights_is_continued_with_the_same_only(tmp_path):
    data, settings = tiny.images(), SupernetSettings(epochs=1, batch_size=32, learning_rate=0.1, random_networks=0)

    def trained(start):
        torch.manual_seed(0)
        train_resumably(Supernet(tiny.SPACE, 1, tiny.CLASSES), data, settings, 0, tmp_path / "t.safetensors", Silent(), began_with=start)

    trained("ofa:one.pt")
    trained("ofa:one.pt")
    with pytest.raises(CheckpointError, match=r"is of start ofa:one\.pt, this run is of start ofa:two\.pt"):
        trained("ofa:two.pt")


def test_features_leave_the_classifier_as_it_is(tmp_path):
    _, tensors = checkpoint(W10)
    weights = ofa_weights.from_option(f"ofa-features:{saved(tensors, tmp_path)}")
    supernet = Supernet(W10, 3, 4)
    own = supernet.get_parameter("head.wide_head.classifier.weight").clone()
    ofa_weights.copy_into(supernet, weights)
    assert torch.equal(supernet.get_parameter("head.wide_head.classifier.weight"), own)
    assert torch.equal(supernet.get_parameter("stem.conv.conv.weight"), tensors["first_conv.conv.weight"])
    with pytest.raises(CheckpointError, match="there is one to train: give --data and --epochs"):
        ofa_weights.converted(W10, weights)


def without(tensors, part):
    return {name: one for name, one in tensors.items() if part not in name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: without(tensors, "5to3"), r"is not of mobilenet_v3: it lacks blocks\.1\.conv\.\S*5to3_matrix, .* and 17 more"),
        (lambda tensors: tensors | {"blocks.1.extra": torch.zeros(1)}, r"is not of mobilenet_v3: it also has blocks\.1\.extra"),
        (
            lambda tensors: tensors | {"blocks.2.conv.point_linear.conv.weight": torch.zeros(24, 9, 1, 1)},
            r"is \(24, 9, 1, 1\), wanted \(24, 144",
        ),
        (
            lambda tensors: without(tensors, "classifier"),
            "no checkpoint of Once-for-All's MobileNetV3: it begins with first_conv.conv.weight",
        ),
        (lambda tensors: {}, "it begins with nothing"),
        (lambda tensors: {"state_dict": [1, 2]}, "holds no tensors by name"),
        (lambda tensors: [1], "holds no tensors by name"),
        (lambda tensors: {"state_dict": Path("x")}, "is not a file of plain tensors"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(change, message, tmp_path):
    path = saved(change(checkpoint(W10)[1]), tmp_path)
    with pytest.raises(CheckpointError, match=message):
        ofa_weights.converted(W10, ofa_weights.read(path))


def test_another_width_names_both(tmp_path):
    weights = ofa_weights.read(saved(checkpoint(search_spaces.load("mobilenet_v3_w12"))[1], tmp_path))
    with pytest.raises(
        CheckpointError, match=r"24 channels .* 1152 .*, as mobilenet_v3_w12; mobilenet_v3 has 16 and 960: give --space mobilenet_v3_w12"
    ):
        ofa_weights.converted(W10, weights)
    odd = {**weights.tensors, "first_conv.conv.weight": torch.zeros(20, 3, 3, 3)}
    with pytest.raises(CheckpointError, match=r"20 channels .* mobilenet_v3 has 16 and 960: no space has these"):
        ofa_weights.converted(W10, ofa_weights.OfaWeights(weights.path, odd))


def test_other_classes_images_and_spaces_are_named(tmp_path):
    weights = ofa_weights.read(saved(checkpoint(W10)[1], tmp_path))
    for supernet, message in (
        (Supernet(W10, 3, 4), "tells 10 classes apart, the data has 4: --init ofa-features:PATH"),
        (Supernet(W10, 1, CLASSES), "is for images of 3 channels, the data has 1"),
        (Supernet(tiny.SPACE, 3, CLASSES), "are for mobilenet_v3 and mobilenet_v3_w12, not for tiny: give --space"),
    ):
        with pytest.raises(CheckpointError, match=message):
            ofa_weights.copy_into(supernet, weights)


def test_a_file_that_is_none_or_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "cut.pt").write_bytes(saved(checkpoint(W10)[1], tmp_path).read_bytes()[:5000])
    for path, message in (
        (tmp_path / "none.pt", "none.pt is not a file: --init ofa:PATH takes"),
        (tmp_path, "is not a file"),
        (tmp_path / "text.pt", "text.pt is damaged, or torch.save did not write it"),
        (tmp_path / "cut.pt", "cut.pt is damaged, or torch.save did not write it"),
    ):
        with pytest.raises(CheckpointError, match=message):
            ofa_weights.read(path)


@pytest.mark.parametrize("init", ["ofa", "ofa:", "timm:x"])
def test_another_start_is_refused(init):
    with pytest.raises(UnknownNameError, match="no start of a training is named"):
        ofa_weights.from_option(init)
