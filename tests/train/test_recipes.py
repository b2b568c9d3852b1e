"""Every recipe: its declaration, its network learns a batch by heart, its settings can be changed."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from sheetconv.compile.capture import capture
from sheetconv.compile.reference import evaluate
from sheetconv.data.handwriting import digits
from sheetconv.data.sources import ImageData
from sheetconv.errors import TrainingError, UsageError
from sheetconv.nets import INPUT_SHAPES, seeded
from sheetconv.ops import registry
from sheetconv.train import recipes
from sheetconv.train.assemble import check, make_learner
from sheetconv.train.callback import Callback
from sheetconv.train.learner import Learner
from sheetconv.train.prepare import Data, initialise, prepare_net

registry.load()
NETS = {recipes.load(name).net: name for name in recipes.names()}  # each with one of its recipes


def digits_data(n: int) -> Data:
    images, labels = digits(n, 3, np.arange(n) % 10)
    part = ImageData(images, labels, [str(i) for i in range(10)], "digits", "0", False)
    return Data(part, part, part)


@pytest.mark.parametrize("name", recipes.names())
def test_recipe_is_complete(name: str) -> None:
    recipe = recipes.load(name)
    check(recipe)
    assert recipe.net in INPUT_SHAPES
    assert recipe.summary
    assert not recipe.summary.endswith(".")


STEPS = {"autoencoder": 300} | {"fashion-cnn": 30, "fashion-cnn-medium": 30, "fashion-cnn-wide": 20}
STEPS |= {"fashion-cnn-large": 12}


@pytest.mark.parametrize("name", NETS.values(), ids=NETS)
def test_network_learns_one_batch_by_heart(name: str) -> None:
    """With a recipe's own optimiser and learning rate; a mis-wired network or loss cannot do it."""
    plain = recipes.load(name).with_texts(
        {
            "shift": "0",
            "affine": "0",
            "erase": "0",
            "flip": "no",
            "average": "0",
            "fresh": "no",
            "skip-easy": "0",
        }
        | {"label-smoothing": "0", "batch-size": "10"}
    )
    recipe = plain.with_values(epochs=STEPS.get(plain.net, 50))
    data = digits_data(10)
    torch.manual_seed(0)
    learn = make_learner(recipe, prepare_net(recipe, 0, data), data)
    learn.fit(recipe.epochs, valid=False)
    first, last = learn.history[0]["train_loss"], learn.history[-1]["train_loss"]
    if recipe.task == "classify":
        assert first > 1.5
        assert last < 0.02
    else:  # the lesson's autoencoder has 777 parameters for these 7,840 pixels
        mean_image = float((data.train.images / 255).var(0).mean())
        assert last < (0.4 if recipe.net == "autoencoder" else 0.1) * mean_image < first


@pytest.mark.parametrize("net", NETS)
def test_captured_network_computes_what_torch_does(net: str) -> None:
    """Every recipe's network can become a workbook: its graph, in float64, gives the module's own output."""
    x = torch.rand(1, *INPUT_SHAPES[net], generator=torch.Generator().manual_seed(1)).double()
    graph = capture(seeded(net), tuple(x.shape))
    stored = {t: torch.from_numpy(t.values) for t in graph if t.kind == "parameter"}
    found = evaluate(graph, stored | {graph.inputs[0]: x})[graph.outputs[0]]
    with torch.no_grad():
        expected = seeded(net).double().eval()(x)
    torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


def test_fresh_handwriting_is_drawn_for_the_built_in_dataset_only() -> None:
    """The labels stay, the images of each epoch are new and the same for the same seed."""
    recipe = recipes.load("builtin-simple-cnn").with_values(epochs=3, batch_size=10)
    seen: dict[str, list[torch.Tensor]] = {}
    for name, dataset in (("one", "builtin"), ("again", "builtin"), ("other", "mnist")):
        data, seen[name] = digits_data(20), []
        chosen = recipe.with_values(dataset=dataset)
        learn = make_learner(chosen, prepare_net(chosen, 0, data), data)
        learn.cbs.append(_Look(seen[name]))
        learn.fit(3)
    assert [torch.equal(a, b) for a, b in zip(seen["one"], seen["again"], strict=True)] == [True] * 3
    assert not torch.equal(seen["one"][0], seen["one"][1])
    assert not torch.equal(seen["one"][1], seen["one"][2])
    assert all(torch.equal(images, seen["other"][0]) for images in seen["other"])


def test_whitened_kernels_have_uncorrelated_outputs_and_do_not_learn() -> None:
    """Of every patch of the images: variance 1 along each axis, and each axis with both signs."""
    data = digits_data(200)
    recipe = recipes.load("fashion-fast").with_values(
        epochs=1, batch_size=50, init="whiten", skip_easy=0.0, held_out=20
    )
    net = prepare_net(recipe, 0, data)
    first = net[0][0]
    kernels = first.weight.detach().clone()
    x = torch.from_numpy(data.train.images)[:, None].double() / 255
    outputs = torch.nn.functional.conv2d(x, kernels.double(), first.bias.detach().double())
    outputs = outputs.transpose(0, 1).flatten(1)
    torch.testing.assert_close(outputs[4:], -outputs[:4])
    assert outputs.mean(1).abs().max() < 1e-5
    products = outputs[:4] @ outputs[:4].T / outputs.shape[1]
    assert (products - products.diag().diag()).abs().max() < 1e-5
    assert products.diag().min() > 0.9
    assert products.diag().max() < 1.001
    other = net.get_parameter("1.0.weight").detach().clone()
    make_learner(recipe, net, data).fit(1)
    assert torch.equal(first.weight, kernels)
    assert not torch.equal(net.get_parameter("1.0.weight"), other)


@pytest.mark.parametrize(
    "first", [torch.nn.Linear(9, 4), torch.nn.Conv2d(1, 3, 3), torch.nn.Conv2d(1, 20, 3)]
)
def test_whitening_needs_pairs_of_kernels(first: torch.nn.Module) -> None:
    """An even number, and no more pairs than a patch has numbers."""
    net = torch.nn.Sequential(first, torch.nn.Linear(4, 2))
    with pytest.raises(TrainingError, match="begins with a convolution of an even number"):
        initialise(net, "whiten", torch.rand(8, 1, 28, 28))


class _Look(Callback):
    order = 1

    def __init__(self, seen: list[torch.Tensor]) -> None:
        self.seen = seen

    def before_epoch(self, learn: Learner) -> None:
        if learn.training:
            self.seen.append(learn.dls.train.images.clone())


def test_texts_change_any_setting() -> None:
    recipe = recipes.load("mnist-simple-cnn")
    texts = {"shift": "2", "flip": "yes", "label-smoothing": "0.1", "net": "mlp"}
    changed = recipe.with_texts(texts)
    assert (changed.shift, changed.flip, changed.label_smoothing, changed.net) == (2, True, 0.1, "mlp")
    same = {f.name for f in fields(recipe)} - {"shift", "flip", "label_smoothing", "net"}
    assert all(getattr(changed, name) == getattr(recipe, name) for name in same)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"warmth": "1"}, ["warmth", "warm_up"]),
        ({"shift": "some"}, ["shift", "whole number", "some"]),
        ({"lr": "nan"}, ["lr", "nan"]),
        ({"flip": "maybe"}, ["flip", "yes or no"]),
        ({"epochs": "0"}, ["epochs", "0"]),
        ({"task": "dance"}, ["task", "dance", "classify"]),
        ({"erase": "1.5"}, ["erase", "1.5"]),
    ],
)
def test_bad_settings_are_refused(texts: dict[str, str], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        recipes.load("mnist-simple-cnn").with_texts(texts)
    assert all(word in str(caught.value) for word in words)


def test_unknown_recipe_optimiser_and_schedule() -> None:
    with pytest.raises(UsageError, match="mnist-best"):
        recipes.load("mnist-worst")
    with pytest.raises(UsageError, match="muon"):
        check(recipes.load("mnist-best").with_values(opt="magic"))
    with pytest.raises(UsageError, match="cosine"):
        check(recipes.load("mnist-best").with_values(schedule="magic"))
