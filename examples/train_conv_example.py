"""Train the two-layer network of the lesson's spreadsheet; its edge kernels stay what they are.

    python examples/train_conv_example.py DATASET OUT.safetensors [EPOCHS]

DATASET is a name or path as for `build-workbook`. The first convolution keeps its top-edge and left-edge kernels
and a bias of 0; the second convolution and the dense layer are trained. The test set is looked at once, at the end.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sheetconv.data.sources import open_dataset
from sheetconv.nets import ConvExample

BATCH = 256


def pixels(name: str, split: str) -> tuple[Tensor, Tensor]:
    """Pixels in 0…1, (N, 1, 28, 28), and labels (N,)."""
    data = open_dataset(name, split)
    return torch.from_numpy(data.images.copy()).float()[:, None] / 255, torch.from_numpy(data.labels.copy())


def logits(model: ConvExample, x: Tensor) -> Tensor:
    """The network without its softmax, which the loss computes more exactly."""
    pooled = model.pool(model.relu2(model.conv2(model.relu1(model.conv1(x)))))
    return model.dense(pooled.flatten(1))


def main(dataset: str, out: Path, epochs: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, y = pixels(dataset, "train")
    model = ConvExample()
    for parameter in model.conv1.parameters():
        parameter.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, weight_decay=5e-2)
    steps = -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, epochs=epochs, steps_per_epoch=steps)
    for epoch in range(epochs):
        for batch in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.cross_entropy(logits(model, x[batch]), y[batch])
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}", flush=True)
    x, y = pixels(dataset, "test")
    with torch.no_grad():
        right = sum(
            (logits(model, a).argmax(1) == b).sum().item()
            for a, b in zip(x.split(1000), y.split(1000), strict=True)
        )
    print(f"test accuracy {right / len(y):.4f}")
    save_file(model.state_dict(), out)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 6)
