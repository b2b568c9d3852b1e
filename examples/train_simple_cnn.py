"""Train the lesson's simple CNN with a hand-written loop and keep its weights for the workbooks.

    python examples/train_simple_cnn.py DATASET OUT.safetensors [EPOCHS]

DATASET is a name or path as for `build-workbook`. The last 5,000 training images choose nothing here; they only
show the accuracy while training. The test set is looked at once, at the end.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sheetconv.data.sources import open_dataset
from sheetconv.nets import simple_cnn

HELD_OUT = 5000
BATCH = 256


def pixels(name: str, split: str) -> tuple[Tensor, Tensor]:
    """Pixels in 0…1, (N, 1, 28, 28), and labels (N,)."""
    data = open_dataset(name, split)
    return torch.from_numpy(data.images.copy()).float()[:, None] / 255, torch.from_numpy(data.labels.copy())


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def main(dataset: str, out: Path, epochs: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, y = pixels(dataset, "train")
    x_valid, y_valid = x[-HELD_OUT:], y[-HELD_OUT:]
    x, y = x[:-HELD_OUT], y[:-HELD_OUT]
    model = simple_cnn()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    steps = -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-2, epochs=epochs, steps_per_epoch=steps)
    for epoch in range(epochs):
        for batch in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}, held out {accuracy(model, x_valid, y_valid):.4f}")
    print(f"test accuracy {accuracy(model, *pixels(dataset, 'test')):.4f}")
    save_file(model.state_dict(), out)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10)
