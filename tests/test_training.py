"""Training on a tiny space: it learns, it is decided by the seed, and it refuses what is no number."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.core.errors import CheckpointError
from nas.data import normalise
from nas.distributed import Team
from nas.network import Network, recalibrate
from nas.path_sampling import MacsSampler
from nas.supernet import Supernet
from nas.training import (
    Average,
    Recipe,
    Schedule,
    accuracy,
    corrected,
    drop_path,
    fine_tune,
    make_optimizer,
    predictions,
    resize,
    sample,
    train_supernet,
    training_batch,
)
from search_spaces import blocks
from tests.tiny import CLASSES, SPACE, images

DATA = images()
SCHEDULE = Schedule(epochs=3, batch_size=32, learning_rate=0.2, weight_decay=1e-4)


def trained(seed=0, schedule=SCHEDULE, data=DATA, random_networks=1):
    """A supernet, trained, and its progress."""
    torch.manual_seed(seed)
    supernet = Supernet(SPACE, 1, CLASSES)
    return supernet, list(train_supernet(supernet, make_optimizer(supernet, schedule), data, schedule, random_networks, seed, start=0))


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize(("epochs", "images_", "steps"), [(3, 96, 9), (0.5, 96, 2), (0.01, 96, 1), (1, 20, 1), (2, 100, 6)])
def test_steps_of_a_schedule(epochs, images_, steps):
    assert Schedule(epochs, 32, 0.1, 0.0).steps(images_) == steps


def test_the_rate_warms_up_peaks_and_falls_to_almost_nothing():
    schedule = Schedule(10, 32, 0.4, 0.0, warmup_share=0.2)
    rates = [schedule.rate(step, 50) for step in range(50)]
    assert rates[:10] == pytest.approx([0.04 * step for step in range(1, 11)])
    assert max(rates) == pytest.approx(0.4) and rates.index(max(rates)) == 9
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert rates[30] == pytest.approx(0.2) and 0 < rates[-1] < 0.002


@given(st.integers(1, 200), st.data())
def test_every_rate_is_above_zero_and_at_most_the_peak(steps, data):
    assert 0 < Schedule(1, 32, 0.1, 0.0).rate(data.draw(st.integers(0, steps - 1)), steps) <= 0.1 + 1e-12


def test_weight_decay_spares_norms_and_biases():
    supernet = Supernet(SPACE, 1, CLASSES)
    decayed, spared = make_optimizer(supernet, SCHEDULE).param_groups
    names = {id(parameter): name for name, parameter in supernet.named_parameters()}
    assert decayed["weight_decay"] == 1e-4 and spared["weight_decay"] == 0.0
    assert all(names[id(p)].endswith(".weight") and ".norm." not in names[id(p)] for p in decayed["params"])
    assert all(".norm." in names[id(p)] or names[id(p)].endswith(".bias") for p in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def test_the_fused_update_is_the_plain_one():
    """Also for parameters that no network uses before a later step."""
    torch.manual_seed(0)
    supernet = Supernet(SPACE, 1, CLASSES)
    groups = make_optimizer(supernet, SCHEDULE).param_groups
    plain = torch.optim.SGD([{**group, "fused": False} for group in groups], lr=0.0, momentum=0.9, nesterov=True)
    list(train_supernet(supernet, plain, DATA, SCHEDULE, 1, seed=0, start=0))
    for one, other in zip(supernet.parameters(), trained()[0].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_training_lowers_the_loss_of_the_largest_and_the_smallest_network():
    _, progress = trained(schedule=Schedule(8, 32, 0.2, 1e-4))
    assert [one.step for one in progress] == list(range(1, 25)) and {one.steps for one in progress} == {24}
    assert progress[0].largest_loss > 1.0
    assert progress[-1].largest_loss < 0.5 * progress[0].largest_loss
    assert progress[-1].smallest_loss < 0.7 * progress[0].smallest_loss


def test_the_same_seed_gives_the_same_weights_to_the_bit():
    one, first = trained(seed=4)
    torch.rand(10)  # what others draw from the global generator does not matter
    other, second = trained(seed=4)
    assert first == second and equal(one, other)
    assert not equal(one, trained(seed=5)[0])


def test_only_the_sampled_networks_teach_what_is_between():
    """Without samples the shuffle units of stage 1's second layer, in neither the smallest nor the largest, stay as they were."""
    torch.manual_seed(0)
    name, before = "stage1_layer1.shuffle_unit.right.expand.conv.weight", Supernet(SPACE, 1, CLASSES).state_dict()
    assert torch.equal(trained(random_networks=0)[0].state_dict()[name], before[name])
    assert not torch.equal(trained(random_networks=2)[0].state_dict()[name], before[name])


class Watched(Supernet):
    """Remembers which networks were run, and what they answered."""

    def forward(self, images, network, after=None):
        logits = super().forward(images, network, after)
        self.__dict__.setdefault("runs", []).append((network, logits.detach()))
        return logits


@pytest.fixture(scope="module")
def watched():
    """Every run of a training of 9 steps with 1 sample each, 3 runs a step, and its progress."""
    torch.manual_seed(0)
    supernet = Watched(SPACE, 1, CLASSES)
    progress = list(train_supernet(supernet, make_optimizer(supernet, SCHEDULE), DATA, SCHEDULE, 1, seed=0, start=0))
    return supernet.runs, progress


def test_each_step_trains_the_largest_the_smallest_and_the_samples(watched):
    runs, progress = watched
    assert len(runs) == 3 * len(progress) == 27
    largest, smallest = (SPACE.network(one, 1, CLASSES) for one in (SPACE.largest(), SPACE.smallest()))
    for step in range(9):
        (first, logits), (second, _), (third, _) = runs[3 * step : 3 * step + 3]
        assert shape(first) == shape(largest) and shape(second) == shape(smallest)
        assert shape(third) == shape(SPACE.network(sample(SPACE, 1, f"0:{step}")[0], 1, CLASSES))
        labels = training_batch(DATA, 32, seed=0, step=step)[1]
        assert progress[step].largest_loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())


def shape(network):
    """All of a network but its resolution."""
    return [(block.kind, block.hidden_channels, block.out_channels, block.kernel) for block in network.blocks]


def test_images_grow_with_the_training_up_to_the_largest(watched):
    seen = [max(network.resolution for network, _ in watched[0][at : at + 3]) for at in range(0, 27, 3)]
    assert seen == [8] * 5 + [12] * 4
    assert all(network.resolution == 8 for network, _ in watched[0][1::3])  # the smallest stays small


@pytest.mark.parametrize("poisoned", ["head.head.classifier.bias", "stage1_layer0.shuffle_unit.right.project.conv.weight"])
def test_what_is_no_number_is_refused_before_it_reaches_the_weights(poisoned):
    """The second belongs to the smallest network alone: the largest's loss stays finite."""
    torch.manual_seed(0)
    supernet = Supernet(SPACE, 1, CLASSES)
    with torch.no_grad():
        supernet.get_parameter(poisoned).fill_(float("nan"))
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    with pytest.raises(CheckpointError, match="became nan at step 1: lower the learning rate; the last checkpoint is still good"):
        list(train_supernet(supernet, make_optimizer(supernet, SCHEDULE), DATA, SCHEDULE, 0, seed=0, start=0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items() if name != poisoned)


def test_a_learning_rate_that_explodes_is_refused():
    with pytest.raises(CheckpointError, match=r"became (nan|inf|-inf) at step \d+: lower the learning rate"):
        trained(schedule=Schedule(3, 32, 1e30, 1e-4))


def test_every_epoch_visits_every_image_once_in_an_order_of_its_own():
    def epoch(number):
        return torch.cat([training_batch(DATA, 32, seed=1, step=3 * number + position)[2] for position in range(3)])

    assert sorted(epoch(0).tolist()) == sorted(epoch(1).tolist()) == list(range(96))
    assert not torch.equal(epoch(0), epoch(1))


def test_a_batch_is_decided_by_seed_and_step():
    one, other = training_batch(DATA, 32, seed=1, step=2), training_batch(DATA, 32, seed=1, step=2)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(one[1], DATA.train.labels[one[2]]) and one[0].shape == (32, 1, 12, 12)
    assert not torch.equal(one[2], training_batch(DATA, 32, seed=2, step=2)[2])


def test_every_step_augments_in_a_way_of_its_own():
    def changed(step):
        batch, _, chosen = training_batch(DATA, 32, seed=1, step=step)
        return (batch != normalise(DATA.train.images[chosen], DATA, 12)).flatten(1).any(dim=1).tolist()

    assert 5 < sum(changed(0)) < 32 and changed(0) != changed(1)


def test_a_batch_larger_than_the_data_is_the_data():
    assert len(training_batch(images(20), 32, seed=0, step=5)[1]) == 20


def test_resizing_commutes_with_normalising():
    small = normalise(DATA.train.images[:4], DATA, 8)
    assert torch.allclose(resize(normalise(DATA.train.images[:4], DATA, 12), 8), small, atol=1e-5)
    assert resize(small, 8) is small


def test_samples_are_decided_by_their_seed_and_reach_the_whole_space():
    assert sample(SPACE, 5, "a") == sample(SPACE, 5, "a") != sample(SPACE, 5, "b")
    many = sample(SPACE, 300, "c")
    for gene, values in zip(SPACE.genes, zip(*(one.genes for one in many), strict=True), strict=True):
        assert set(values) == set(range(gene.options)), gene.name
    assert all(SPACE.architecture(one.genes) == one for one in many)


def test_fine_tuning_learns_labels_and_teacher_and_is_decided_by_the_seed():
    def tuned(soft_labels):
        torch.manual_seed(0)
        network = Network(SPACE.network(SPACE.smallest(), 1, CLASSES))
        progress = list(fine_tune(network, DATA, Schedule(10, 32, 0.1, 1e-4), soft_labels, seed=3))
        assert not network.training and len(progress) == 30
        recalibrate(network, normalise(DATA.train.images, DATA, 8))
        return network, progress

    sure = torch.nn.functional.one_hot(DATA.train.labels, CLASSES).float()
    network, progress = tuned(sure)
    assert progress[-1].largest_loss < 0.5 * progress[0].largest_loss
    assert accuracy(network, DATA, DATA.validation) > 0.8
    assert equal(network, tuned(sure)[0])
    assert not equal(network, tuned(torch.full_like(sure, 1 / CLASSES))[0])


def test_fine_tuning_refuses_what_is_no_number():
    network = Network(SPACE.network(SPACE.smallest(), 1, CLASSES))
    with pytest.raises(CheckpointError, match="became nan at step 1"):
        list(fine_tune(network, DATA, SCHEDULE, torch.full((96, CLASSES), float("nan")), seed=0))


def test_predictions_are_probabilities_at_the_networks_own_size():
    torch.manual_seed(0)
    network = Network(SPACE.network(SPACE.smallest(), 1, CLASSES)).eval()
    found = predictions(network, DATA, DATA.validation, batch_size=25)
    assert found.shape == (60, CLASSES) and torch.allclose(found.sum(dim=1), torch.ones(60))
    with torch.no_grad():
        wanted = network(normalise(DATA.validation.images[-1:], DATA, 8)).softmax(dim=1)
    assert torch.allclose(found[-1:], wanted, atol=1e-6)
    assert accuracy(network, DATA, DATA.validation) == pytest.approx((found.argmax(1) == DATA.validation.labels).float().mean().item())


def test_a_teacher_is_corrected_where_it_is_wrong_and_only_there():
    soft = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]])
    found = corrected(soft, torch.tensor([0, 2]))
    assert torch.equal(found, torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]]))


def recipe_run(recipe, start=0, steps=None):
    torch.manual_seed(0)
    supernet = Watched(SPACE, 1, CLASSES)
    training = train_supernet(supernet, make_optimizer(supernet, SCHEDULE), DATA, SCHEDULE, 1, 0, start, recipe)
    return supernet, list(itertools.islice(training, steps))


def test_smoothed_labels_are_what_the_largest_network_is_trained_on():
    supernet, (first,) = recipe_run(Recipe(label_smoothing=0.3), steps=1)
    labels = training_batch(DATA, 32, seed=0, step=0)[1]
    wanted = torch.nn.functional.cross_entropy(supernet.runs[0][1], labels, label_smoothing=0.3)
    assert first.largest_loss == pytest.approx(wanted.item())


def test_samples_by_macs_take_the_place_of_uniform_ones():
    supernet, _ = recipe_run(Recipe(by_macs=True), steps=2)
    for step in range(2):
        wanted = SPACE.network(MacsSampler.of(SPACE, 1, CLASSES)(1, 0, step)[0], 1, CLASSES)
        assert shape(supernet.runs[3 * step + 2][0]) == shape(wanted)


def test_between_two_sandwiches_the_largest_of_the_samples_teaches():
    supernet, progress = recipe_run(Recipe(sandwich_every=2), steps=2)
    (large, _), (small, _), _, *sampled = supernet.runs
    assert [shape(large), shape(small)] == [shape(SPACE.network(one, 1, CLASSES)) for one in (SPACE.largest(), SPACE.smallest())]
    wanted = [SPACE.network(one, 1, CLASSES) for one in sample(SPACE, 3, "0:1")]
    assert len(sampled) == 3 and sorted(shape(one) for one, _ in sampled) == sorted(shape(one) for one in wanted)
    macs = [blocks.macs(SPACE.network(one, 1, CLASSES)) for one in sample(SPACE, 3, "0:1")]
    assert [shape(sampled[place][0]) for place in (0, 1)] == [shape(wanted[macs.index(most)]) for most in (max(macs), min(macs))]
    labels = training_batch(DATA, 32, seed=0, step=1)[1]
    assert not math.isnan(progress[0].largest_loss) and math.isnan(progress[1].largest_loss) and math.isnan(progress[1].smallest_loss)
    soft = sampled[0][1].softmax(dim=1) / 2 + torch.nn.functional.one_hot(labels, CLASSES) / 2
    losses = [torch.nn.functional.cross_entropy(logits, soft) for _, logits in sampled[1:]]
    teacher = torch.nn.functional.cross_entropy(sampled[0][1], labels)
    assert progress[1].sampled_loss == pytest.approx(torch.stack([teacher, *losses]).mean().item())


def test_without_sandwiches_every_network_is_sampled():
    supernet, _ = recipe_run(Recipe(sandwich_every=0, growing=False), steps=2)
    for step in range(2):
        found = [network for network, _ in supernet.runs[3 * step : 3 * step + 3]]
        assert {(one.resolution, *shape(one)) for one in found} == {
            (one.resolution, *shape(one)) for one in (SPACE.network(one, 1, CLASSES) for one in sample(SPACE, 3, f"0:{step}"))
        }


def test_what_the_teacher_says_counts_for_its_share():
    labels_alone, both, teacher_alone = (recipe_run(Recipe(teacher_share=share), steps=1) for share in (0.0, 0.5, 1.0))
    small = [run[1][0].smallest_loss for run in (labels_alone, both, teacher_alone)]
    assert small[1] == pytest.approx((small[0] + small[2]) / 2) and small[0] != pytest.approx(small[2])
    logits, labels = labels_alone[0].runs[1][1], training_batch(DATA, 32, seed=0, step=0)[1]
    assert small[0] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())


def test_only_the_largest_networks_paths_are_dropped():
    plain, dropped = (recipe_run(Recipe(drop_path=rate), steps=1)[0].runs for rate in (0.0, 0.9))
    assert not torch.equal(plain[0][1], dropped[0][1])
    assert torch.equal(plain[1][1], dropped[1][1]) and torch.equal(plain[2][1], dropped[2][1])


def test_a_dropped_path_leaves_an_image_as_it_was_or_adds_more_to_it_and_on_average_the_same():
    supernet, count = Supernet(SPACE, 1, CLASSES), 4000
    block = SPACE.network(SPACE.largest(), 1, CLASSES).blocks[2]
    assert block.kind == "mbconv" and block.stride == 1 and block.in_channels == block.out_channels
    taken, given = torch.ones(count, 2, 3, 3), torch.full((count, 2, 3, 3), 4.0)
    after = drop_path(supernet, SPACE.largest(), 0.9, count, seed=0, step=3)
    rates = []
    for _ in range(len(SPACE.network(SPACE.largest(), 1, CLASSES).blocks)):
        found = after(block, taken, given)
        passed = (found == 1).flatten(1).all(dim=1)
        rates.append(passed.float().mean().item())
        assert torch.allclose(found[~passed], found[~passed][0, 0, 0, 0]) and found.mean().item() == pytest.approx(4.0, abs=0.5)
    assert rates == pytest.approx([0.9 * place / len(rates) for place in range(1, len(rates) + 1)], abs=0.03)
    assert torch.equal(after(SPACE.network(SPACE.largest(), 1, CLASSES).blocks[0], taken, given), given)


def test_paths_are_dropped_alike_whoever_has_the_image():
    supernet = Supernet(SPACE, 1, CLASSES)
    block = SPACE.network(SPACE.largest(), 1, CLASSES).blocks[2]
    taken, given = torch.zeros(8, 2, 3, 3), torch.ones(8, 2, 3, 3)
    whole = drop_path(supernet, SPACE.largest(), 0.9, 8, 0, 5)(block, taken, given)
    halves = [drop_path(supernet, SPACE.largest(), 0.9, 4, 0, 5, Team(rank, 2))(block, taken[:4], given[:4]) for rank in (0, 1)]
    assert torch.equal(whole, torch.cat(halves))


def test_the_average_follows_the_weights_quickly_at_first():
    supernet = Supernet(SPACE, 1, CLASSES)
    average = Average(supernet, decay=0.9)
    name, parameter = next(supernet.named_parameters())
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(1.0)
    average.update(supernet, step=1)
    assert torch.allclose(average.tensors[name], before + 9 / 11)  # keeps 2/11 of itself
    with torch.no_grad():
        parameter.add_(1.0)
    average.update(supernet, step=1000)
    assert torch.allclose(average.tensors[name], 0.9 * (before + 9 / 11) + 0.1 * (before + 2.0))
    average.copy_into(supernet)
    assert torch.equal(parameter, average.tensors[name])


def test_a_batch_is_divided_as_it_would_be_alone():
    whole = training_batch(DATA, 32, seed=1, step=2)
    parts = [training_batch(DATA, 32, 1, 2, team=Team(rank, 4)) for rank in range(4)]
    assert all(torch.equal(one, torch.cat(divided)) for one, divided in zip(whole, zip(*parts, strict=True), strict=True))


def test_images_that_may_not_be_mirrored_are_only_normalised():
    batch, _, chosen = training_batch(replace(DATA, mirrors=False), 32, seed=1, step=0)
    assert torch.equal(batch, normalise(DATA.train.images[chosen], DATA, 12))
