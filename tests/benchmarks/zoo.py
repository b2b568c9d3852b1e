"""Published architectures and small modules: which build, which prove, how long it takes, what is missing.

    python tests/benchmarks/zoo.py [--modules [--together]] [--only TEXT] [--seconds N]

Architectures are those of torchvision, timm and transformers at small widths with random weights; the packages are
installed beside sheetconv (`pip install --no-deps --target FOLDER torchvision timm transformers tokenizers regex`,
then PYTHONPATH=FOLDER), and those that are missing are left out. Each network runs in a process of its own with a
limit of time; `--together` runs them in one process without one, which saves starting torch each time. A line tells: built, proven, seconds, cells, megabytes of the file, and why not.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = tuple[Callable[[], Any], Any]


def import_torchvision() -> Any:
    """torchvision beside a CPU build of torch: operators that its own library would bring are declared first."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(20):
        try:
            import torchvision

            torchvision.keep = library
            return torchvision
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor a) -> Tensor")
            for name in [n for n in sys.modules if n.startswith("torchvision")]:
                del sys.modules[name]
    raise ImportError("torchvision")


def torchvision_cases() -> dict[str, Case]:
    """Constructors of torchvision with little width, inputs of 32 to 64 pixels."""
    models = import_torchvision().models
    from torchvision.models.densenet import DenseNet
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig
    from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
    from torchvision.models.regnet import BlockParams, RegNet
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
    from torchvision.models.shufflenetv2 import ShuffleNetV2
    from torchvision.models.swin_transformer import SwinTransformer
    from torchvision.models.vgg import VGG, make_layers
    from torchvision.models.vision_transformer import VisionTransformer

    def mnv3() -> Any:
        rows = [(8, 3, 8, 8, True, "RE", 2, 1), (8, 3, 16, 8, False, "HS", 2, 1)]
        return MobileNetV3([InvertedResidualConfig(*r, width_mult=1.0) for r in rows], 16, num_classes=5)

    def efficient() -> Any:
        rows = [(1, 3, 1, 8, 8, 1, 1.0, 1.0), (2, 3, 2, 8, 8, 1, 1.0, 1.0)]
        return EfficientNet([MBConvConfig(*r) for r in rows], 0.1, num_classes=5, last_channel=16)

    def resnet(block: Any) -> Any:
        return ResNet(block, [1, 1, 1, 1], num_classes=5)

    image = (1, 3, 32, 32)
    return {
        "tv squeezenet1_1": (lambda: models.squeezenet1_1(num_classes=5), image),
        "tv shufflenet": (lambda: ShuffleNetV2([1, 1, 1], [8, 16, 24, 32, 32], num_classes=5), image),
        "tv mobilenet_v2": (lambda: models.MobileNetV2(num_classes=5, width_mult=0.1), image),
        "tv mobilenet_v3": (mnv3, image),
        "tv mnasnet": (lambda: models.MNASNet(0.1, num_classes=5), image),
        "tv efficientnet": (efficient, image),
        "tv densenet": (lambda: DenseNet(4, (1, 1, 2), 8, num_classes=5), image),
        "tv regnet": (lambda: RegNet(BlockParams([1, 1], [8, 8], [8, 8], [2, 2], [1.0, 1.0], 0.25), 5, stem_width=8), image),
        "tv resnet basic": (lambda: resnet(BasicBlock), (1, 3, 16, 16)),
        "tv resnet bottleneck": (lambda: resnet(Bottleneck), (1, 3, 16, 16)),
        "tv vgg": (lambda: VGG(make_layers([8, "M", 8, "M", 8, "M"], batch_norm=True), num_classes=5).features, image),
        "tv vit": (lambda: VisionTransformer(16, 4, 2, 2, 8, 16, num_classes=5), (1, 3, 16, 16)),
        "tv swin": (lambda: SwinTransformer([4, 4], 8, [1, 1], [2, 2], [2, 2], num_classes=5, stochastic_depth_prob=0.0), (1, 3, 16, 16)),
        "tv convnext": (_convnext, image),
        "tv unet-like lraspp": (_lraspp, image),
    }  # fmt: skip


def _convnext() -> Any:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(8, 12, 1), CNBlockConfig(12, None, 1)], num_classes=5)


def _lraspp() -> Any:
    from torch import nn
    from torchvision.models.segmentation.lraspp import LRASPPHead

    class Segments(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.high = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
            self.head = LRASPPHead(8, 8, 3, 8)

        def forward(self, x: Any) -> Any:
            low = self.low(x)
            return self.head({"low": low, "high": self.high(low).relu()})

    return Segments()


TIMM: dict[str, dict[str, Any]] = {
    "resnet10t": {}, "resnet18d": {"stem_width": 8}, "resnext26ts": {}, "mobilenetv3_small_050": {},
    "mobilenetv4_conv_small": {}, "efficientnet_lite0": {}, "tf_efficientnetv2_b0": {}, "ghostnet_050": {}, "regnetx_002": {},
    "regnety_002": {},             "vit_tiny_patch16_224": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": 32},
    "deit_tiny_patch16_224": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": 32},
    "cait_xxs24_224": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": 32},
    "xcit_nano_12_p16_224": {"embed_dim": 16, "depth": 2, "num_heads": 2, "img_size": 32},
    "beit_base_patch16_224": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": 32},
    "eva02_tiny_patch14_224": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": 32},
    "convnext_atto": {"dims": (8, 12, 16, 16), "depths": (1, 1, 1, 1)},
    "convnextv2_atto": {"dims": (8, 12, 16, 16), "depths": (1, 1, 1, 1)},
    "poolformer_s12": {"dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1)},
    "metaformer_ppff": {}, "swin_tiny_patch4_window7_224": {"embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4, "img_size": 32},
    "swinv2_tiny_window8_256": {"embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4, "img_size": 32},
    "pit_ti_224": {}, "levit_128s": {"embed_dim": (16, 16, 16), "num_heads": (2, 2, 2), "depth": (1, 1, 1), "key_dim": 8, "img_size": 64},
    "mobilevit_xxs": {}, "mobileone_s0": {}, "repvgg_a0": {}, "hardcorenas_a": {}, "lcnet_050": {}, "tinynet_e": {}, "mnasnet_small": {},
    "semnasnet_075": {}, "spnasnet_100": {}, "fbnetc_100": {}, "dla46_c": {}, "densenet121": {"growth_rate": 4, "block_config": (1, 1, 1), "num_init_features": 8},
    "edgenext_xx_small": {"dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1)}, "efficientformer_l1": {}, "fastvit_t8": {}, "starnet_s1": {},
    "volo_d1_224": {}, "coatnet_pico_rw_224": {}, "maxvit_pico_rw_256": {}, "inception_next_tiny": {"dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1)},
    "caformer_s18": {"dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1)}, "tnt_s_patch16_224": {}, "visformer_tiny": {}, "rdnet_tiny": {},
}  # fmt: skip


def timm_cases() -> dict[str, Case]:
    """timm by name, with the widths above; those without are as small as their names say."""
    import_torchvision()
    import timm

    found: dict[str, Case] = {}
    for name, options in TIMM.items():
        if not timm.is_model(name):
            continue
        size = options.get("img_size", 32)
        found[f"timm {name}"] = (
            lambda n=name, o=options: timm.create_model(n, num_classes=5, **o),
            (1, 3, size, size),
        )
    from timm.models.convmixer import ConvMixer
    from timm.models.mlp_mixer import MlpMixer

    mixer: dict[str, Any] = {
        "img_size": 32,
        "patch_size": 8,
        "num_blocks": 2,
        "embed_dim": 16,
        "num_classes": 5,
    }
    found["timm mlp-mixer"] = (lambda: MlpMixer(**mixer), (1, 3, 32, 32))
    found["timm convmixer"] = (lambda: ConvMixer(16, 2, 5, 4, num_classes=5), (1, 3, 32, 32))
    return found


def transformers_cases() -> dict[str, Case]:
    """Language and vision models of transformers from small configurations."""
    import_torchvision()
    import torch
    import transformers as t

    ids = [torch.tensor([[1, 5, 2, 7, 3]])]
    text: dict[str, Any] = {"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16}  # fmt: skip
    image: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "image_size": 16, "patch_size": 4}  # fmt: skip
    pixels = (1, 3, 16, 16)

    def made(kind: str, **options: Any) -> Callable[[], Any]:
        def make() -> Any:
            config = getattr(t, f"{kind}Config")(**options)
            config.use_cache = False
            config.return_dict = kind in ("OPT", "Dinov2")
            return getattr(t, f"{kind}Model")(config).eval()

        return make

    llama = text | {"num_key_value_heads": 2, "pad_token_id": 0}
    return {
        "hf bert": (made("Bert", **text), ids),
        "hf distilbert": (made("DistilBert", vocab_size=11, dim=8, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=16), ids),
        "hf albert": (made("Albert", **text, embedding_size=8), ids),
        "hf roberta": (made("Roberta", **text), ids),
        "hf electra": (made("Electra", **text, embedding_size=8), ids),
        "hf gpt2": (made("GPT2", vocab_size=11, n_embd=8, n_layer=1, n_head=2, n_positions=16), ids),
        "hf opt": (made("OPT", vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, max_position_embeddings=16, word_embed_proj_dim=8), ids),
        "hf llama": (made("Llama", **llama), ids),
        "hf qwen2": (made("Qwen2", **llama), ids),
        "hf mistral": (made("Mistral", **llama), ids),
        "hf gpt_neox": (made("GPTNeoX", **text), ids),
        "hf vit": (made("ViT", **image), pixels),
        "hf deit": (made("DeiT", **image), pixels),
        "hf dinov2": (made("Dinov2", hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=4), pixels),
        "hf clip vision": (lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**image, return_dict=False)).eval(), pixels),
        "hf beit": (made("Beit", **image), pixels),
    }  # fmt: skip


def module_cases() -> dict[str, Case]:
    """The small modules of `modules.py`, beside this file."""
    sys.path.insert(0, str(Path(__file__).parent))
    import zoo_modules

    return dict(zoo_modules.MODULES)


SOURCES = {
    "torchvision": torchvision_cases,
    "timm": timm_cases,
    "transformers": transformers_cases,
    "modules": module_cases,
}


def one(source: str, name: str) -> dict[str, Any]:
    """Build and prove one network in this process."""
    warnings.simplefilter("ignore")
    import numpy as np
    import torch

    from sheetconv.compile.capture import capture
    from sheetconv.data.pick import Picked
    from sheetconv.pages.workbook import write_network
    from sheetconv.prove.verify import verify

    make, shape = SOURCES[source]()[name]
    torch.manual_seed(0)
    module = make().eval()
    start = time.perf_counter()
    graph = capture(module, shape)
    entry: dict[str, Any] = {"captured": round(time.perf_counter() - start, 1)}
    entry["activations"] = sum(t.size for t in graph.placed() if t.kind == "activation")
    entry["cells"] = sum(t.size for t in graph.placed())
    first = graph.inputs[0]
    values = shape[0].numpy() if first.whole else np.random.default_rng(1).normal(size=first.shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.xlsx"
        write_network(path, graph, Picked(values, [None], ["random"], "random numbers", "a test"), name)
        entry |= {"built": True, "megabytes": round(path.stat().st_size / 1e6, 2)}
        report = verify(path, "ironcalc", "cpu")
        entry["proven"] = bool(report.agrees)
        if not report.agrees:
            entry["why"] = report.verdict()[:200]
    entry["seconds"] = round(time.perf_counter() - start, 1)
    return entry


def main() -> None:
    """Run every case in a process of its own and print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--modules", action="store_true", help="the small modules only")
    parser.add_argument("--only", default="", help="cases with this in their names")
    parser.add_argument("--seconds", type=int, default=120, help="limit for one case")
    parser.add_argument("--together", action="store_true", help="all in this process, with no limit of time")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print("RESULT " + json.dumps(one(*options.one)))
        return
    built = proven = total = 0
    for source, cases in SOURCES.items():
        if options.modules and source != "modules":
            continue
        try:
            names = list(cases())
        except ImportError as error:
            print(f"{source} is not installed ({error})")
            continue
        for name in (n for n in names if options.only in n):
            entry = _here(source, name) if options.together else _apart(source, name, options.seconds)
            total += 1
            built += entry.get("built", False)
            proven += entry.get("proven", False)
            print(f"{name:34} {json.dumps(entry)}", flush=True)
    print(f"{built} of {total} build, {proven} prove")


def _here(source: str, name: str) -> dict[str, Any]:
    try:
        return one(source, name)
    except Exception as error:  # a case that fails is a line of the table
        return {"why": f"{type(error).__name__}: {error!s:.300}"}


def _apart(source: str, name: str, seconds: int) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", __file__, "--one", source, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"why": f"more than {seconds} s"}
    found = [x for x in done.stdout.splitlines() if x.startswith("RESULT ")]
    if found:
        return dict(json.loads(found[0].removeprefix("RESULT ")))
    return {"why": (done.stderr.strip().splitlines() or ["?"])[-1][:300]}


if __name__ == "__main__":
    main()
