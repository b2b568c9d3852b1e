"""The main job: a digit and a network in, a proven workbook out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sheetconv.errors import UsageError, WorkbookError, printable
from sheetconv.files import check_target, replacing
from sheetconv.template import load, of_network

if TYPE_CHECKING:
    from torch import nn

    from sheetconv.back.run_data import RunData
    from sheetconv.data.pick import Picked
    from sheetconv.graph.tensor import Graph
    from sheetconv.prove.verify import Report
    from sheetconv.sheet.settings import Template


@dataclass
class Request:
    """The options of `build-workbook`; None where the user gave none."""

    output: Path
    template: str | None = None
    model: str | None = None
    model_args: str | None = None
    weights: Path | None = None
    dataset: str | None = None
    split: str = "train"
    index: int | None = None
    digit: int | None = None
    image: Path | Sequence[Path] | None = None
    nth: int | None = None
    label_column: str | None = None
    show: Path | None = None
    input: Path | None = None
    random_input: bool = False
    input_shape: tuple[int, ...] | None = None
    seed: int = 0
    fuse_relu: bool | None = None
    with_gradients: bool = False
    label: int | None = None
    run: Path | None = None
    images: int = 10
    pages: str | None = None
    trust_template: bool = False
    force: bool = False
    cached_digits: int = 12
    verify: bool = True
    engine: str = "ironcalc"


@dataclass
class Built:
    """What was built: the image's source and why it was taken, and the proof if one was made."""

    path: Path
    source: str
    reason: str
    report: Report | None

    def _repr_html_(self) -> str:
        from sheetconv.notebook.html import of_report, table

        about = table(["workbook", "image"], [[self.path, f"{self.source}; {self.reason}"]])
        return about + (of_report(self.report) if self.report is not None else "")


def build(request: Request) -> Built:
    """Compile, write and prove a workbook; nothing is left at the output when any step fails.

    Raises the errors of the steps, and `WorkbookError` when the proof fails.
    """
    from sheetconv.pages.workbook import part, write_pages

    check_target(request.output, force=request.force, suffix=".xlsx")
    if request.show is not None:
        if not request.image:
            raise UsageError("--show writes the steps of reading a picture; give --image too")
        check_target(request.show, force=request.force, suffix=".png")
    run = _run(request)
    template = _template(request)
    if run is not None:
        template.classes = run.classes or template.classes
    _check_gradients(request, template)
    if template.model or request.model:
        network, shape = _network(request, template)
    else:
        _refuse_network_options(request)
        network, shape = None, (1, 28, 28)
    template.page = part(template.page, request.pages)
    picked = _pixels(request, template, shape)
    if request.show is not None:
        _show(picked, request.show, force=request.force)
    graph = _captured(request, template, network, shape) if network is not None else None
    if graph is not None and graph.inputs[0].values is not None:  # one array for each input
        picked.images = graph.inputs[0].values
    report = None
    with replacing(request.output, force=request.force) as temporary:
        write_pages(
            temporary,
            template,
            picked,
            graph,
            gradients=request.with_gradients,
            label=request.label,
            cached_digits=request.cached_digits,
            run=run,
        )
        if request.verify:
            report = _prove(temporary, request)
    return Built(request.output, f"{picked.captions[0]} ({picked.source})", picked.reason, report)


def _run(request: Request) -> RunData | None:
    """The run that the workbook is to show, whose network, weights and test images then count as asked for."""
    if request.run is None:
        return None
    from sheetconv.back.run_data import open_run

    for option, value in (
        ("TEMPLATE", request.template),
        ("--model", request.model),
        ("--weights", request.weights),
    ):
        if value is not None:
            raise UsageError(f"{option} does not go with --run, which has its own network and weights")
    run = open_run(request.run)
    request.model, request.weights = run.net, run.weights
    if not request.image and request.input is None and not request.random_input:
        request.split = "test" if request.dataset is None else request.split
        request.dataset = request.dataset or run.dataset
    return run


def _show(picked: Picked, path: Path, *, force: bool) -> None:
    from sheetconv.data.steps import picture

    with replacing(path, force=force) as temporary:
        picture(picked.steps).save(temporary, "PNG")


def _network(request: Request, template: Template) -> tuple[nn.Module, tuple[int, ...]]:
    """The network that the workbook is about, and the shape of its input without batch axis."""
    from sheetconv.models import is_file, load_model

    if request.template and request.model and template.model:
        raise UsageError("TEMPLATE and --model both name a network; give one of them")
    if is_file(template.model) and not (request.model or request.trust_template):
        raise UsageError(
            f"the template {request.template} wants to run the Python file {template.model!r}; look at it, and "
            "pass --trust-template if you trust it"
        )
    template.model, own = request.model or template.model, template.model
    weights, options = _weights(request, template, own), _model_options(request)
    module, known = load_model(template.model, weights, trusted=True, options=options)
    return module, _input_shape(request, known)


def _model_options(request: Request) -> dict[str, Any]:
    """The arguments for a model's constructor, a JSON object."""
    if request.model_args is None:
        return {}
    import json

    try:
        found = json.loads(request.model_args)
    except ValueError as error:
        raise UsageError(f"--model-args is no JSON object ({error!s:.60})") from error
    if not isinstance(found, dict):
        raise UsageError('--model-args is a JSON object, such as {"num_classes": 10}')
    return found


def _captured(request: Request, template: Template, network: nn.Module, shape: tuple[int, ...]) -> Graph:
    from sheetconv.compile.capture import capture
    from sheetconv.compile.fuse import fuse_relu

    arrays = _named_arrays(request)
    graph = capture(network, arrays or (1, *shape))
    if request.fuse_relu if request.fuse_relu is not None else template.fuse_relu:
        fuse_relu(graph)
    return graph


def _named_arrays(request: Request) -> dict[str, Any] | list[Any]:
    """The inputs by name or in order, as tensors with a batch axis, from an .npz file or one of whole numbers; else nothing."""
    import torch

    if request.input is None or request.input.suffix not in (".npz", ".npy"):
        return {}
    from sheetconv.data.image import named_arrays

    found = named_arrays(request.input)
    if request.input.suffix == ".npy" and next(iter(found.values())).dtype.kind != "i":
        return {}
    tensors = {name: torch.from_numpy(values[None]) for name, values in found.items()}
    unnamed = request.input.suffix == ".npy" or all(name.startswith("arr_") for name in tensors)
    return list(tensors.values()) if unnamed else tensors


def _check_gradients(request: Request, template: Template) -> None:
    if request.label is not None and not request.with_gradients:
        raise UsageError("--label goes with --with-gradients: it is what the loss is measured against")
    if request.with_gradients and not (template.model or request.model):
        raise UsageError(
            "--with-gradients goes with one network, such as conv-example; this template is of pages"
        )


def _refuse_network_options(request: Request) -> None:
    for option, value in (("--model", request.model), ("--weights", request.weights), ("--input", request.input),
                          ("--input-shape", request.input_shape)):  # fmt: skip
        if value is not None:
            raise UsageError(f"{option} does not go with a template of pages, which names its own networks")


def _prove(path: Path, request: Request) -> Report:
    from sheetconv.prove.verify import verify

    report = verify(path, request.engine)
    report.book = str(request.output)
    if not report.agrees:
        raise WorkbookError(f"the workbook does not prove right, so it was not written. {report.verdict()}")
    return report


def _template(request: Request) -> Template:
    if request.template:
        return load(request.template)
    if request.model:
        return of_network(request.model)
    return load("lesson")


def _weights(request: Request, template: Template, own: str) -> Path | None:
    """The file asked for, or the weights that the template names (they fit the template's `own` model)."""
    if request.weights is not None or not template.weights or template.model != own:
        return request.weights
    from sheetconv.models import shipped

    return shipped(template.weights)


def _input_shape(request: Request, known: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = request.input_shape or known
    if request.input is not None and request.input.suffix == ".npz":
        from sheetconv.data.image import named_arrays

        shape = next(iter(named_arrays(request.input).values())).shape
    if shape is None and request.input is not None and request.input.suffix == ".npy":
        shape = _array_shape(request.input)
    if shape is None:
        if request.input is not None or request.random_input:
            raise UsageError("the size of the network's input is not known; give --input-shape C,H,W")
        shape = (1, 28, 28)
    if not 1 <= len(shape) <= 4 or any(not 0 < s <= 4096 for s in shape):
        raise UsageError(
            f"an input of {'×'.join(map(str, shape))} is not usable; give C,H,W or C,L, each 1 to 4096"
        )
    return tuple(shape)


def _array_shape(path: Path) -> tuple[int, ...]:
    from sheetconv.data.image import load_array

    return tuple(load_array(path).shape)


def _pixels(request: Request, template: Template, shape: tuple[int, ...]) -> Picked:
    from sheetconv.data.image import array_input, named_arrays, random_input
    from sheetconv.data.pick import Picked, pick

    if request.input is not None and request.random_input:
        raise UsageError("--input and --random-input exclude each other; give one")
    if request.input is not None and request.input.suffix == ".npz":
        first = next(iter(named_arrays(request.input).values()))
        return Picked(first[None], [None], [request.input.name], "a file", "as asked for")
    if request.input is not None:
        values: Any = array_input(request.input, shape)
        return Picked(values[None], [None], [printable(request.input.name)], "a file", "as asked for")
    if request.random_input:
        values = random_input(shape, request.seed)
        return Picked(
            values[None], [None], [f"random numbers, seed {request.seed}"], "--random-input", "as asked for"
        )
    if len(shape) != 3:
        raise UsageError(
            f"the network takes {'×'.join(map(str, shape))}, not an image; give --input or --random-input"
        )
    dataset = request.dataset if request.dataset is not None else template.dataset or None
    index = request.index
    if index is None and request.digit is None and not request.image and template.index >= 0:
        index = template.index
    picked = pick(
        dataset,
        request.split,
        index,
        request.digit,
        request.image,
        request.images - 1,
        nth=request.nth,
        label_column=request.label_column,
    )
    found = picked.images.shape[1:]
    found = found if len(found) == 3 else (1, *found)
    if tuple(found) != shape:
        raise UsageError(
            f"the network takes {'×'.join(map(str, shape))}, the images are {'×'.join(map(str, found))}; "
            "give --input FILE, --random-input or another --dataset"
        )
    return picked
