"""Small modules, each with one thing that people use; see `zoo.py`."""

# ruff: noqa
# mypy: ignore-errors

import torch
import torch.nn.functional as F
from torch import nn


def fn(f, *mods):
    class M(nn.Module):
        def __init__(s):
            super().__init__()
            s.m = nn.ModuleList(mods)

        def forward(s, *x):
            return f(s, *x)

    return M()


S = nn.Sequential


class MHA(nn.Module):
    def __init__(s, **k):
        super().__init__()
        s.a = nn.MultiheadAttention(8, 2, batch_first=True, **k)

    def forward(s, x):
        return s.a(x, x, x)


_MADE = {
    "inplace slice": (
        fn(
            lambda s, x: (lambda y: (y.__setitem__((slice(None), 1), y[:, 0] * 2), y)[1])(s.m[0](x)),
            nn.Conv2d(2, 3, 1),
        ),
        (1, 2, 4, 4),
    ),
    "inplace select mul": (
        fn(lambda s, x: (lambda y: (y[:, 0].mul_(2), y)[1])(s.m[0](x)), nn.Conv2d(2, 3, 1)),
        (1, 2, 4, 4),
    ),
    "relu view inplace": (
        fn(lambda s, x: (lambda y: (F.relu(y.view(-1), inplace=True), y)[1])(s.m[0](x)), nn.Conv2d(2, 3, 1)),
        (1, 2, 4, 4),
    ),
    "input inplace": (fn(lambda s, x: (x.view(-1).sub_(0.5), x * 2)[1]), (1, 2, 4, 4)),
    "relu inplace reuse": (
        fn(lambda s, x: (lambda y: (F.relu(y, inplace=True), y + y)[1])(s.m[0](x)), nn.Conv2d(2, 3, 1)),
        (1, 2, 4, 4),
    ),
    "conv dropout conv": (S(nn.Conv2d(1, 3, 3), nn.Dropout(), nn.Conv2d(3, 2, 3)), (1, 1, 8, 8)),
    "chunk conv": (fn(lambda s, x: s.m[0](x.chunk(2, 1)[1]), nn.Conv2d(2, 3, 3, padding=1)), (1, 4, 5, 5)),
    "permute conv": (fn(lambda s, x: s.m[0](x.permute(0, 3, 1, 2)), nn.Conv2d(2, 3, 3)), (1, 5, 6, 2)),
    "slice deconv": (fn(lambda s, x: s.m[0](x[:, 1:]), nn.ConvTranspose2d(2, 3, 3, stride=2)), (1, 3, 4, 4)),
    "stacked slice conv": (
        fn(lambda s, x: s.m[1](s.m[0](x)[:, 10:30]), nn.Conv2d(1, 40, 1), nn.Conv2d(20, 2, 3)),
        (1, 1, 8, 8),
    ),
    "mha": (MHA(), (1, 5, 8)),
    "encoder": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (1, 5, 8)),
    "encoder norm first": (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True), 2),
        (1, 5, 8),
    ),
    "decoder": (
        fn(lambda s, x: s.m[0](x, x[:, :3]), nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)),
        (1, 5, 8),
    ),
    "causal": (fn(lambda s, x: F.scaled_dot_product_attention(x, x, x, is_causal=True)), (1, 2, 5, 4)),
    "sdpa bool mask": (
        fn(lambda s, x: F.scaled_dot_product_attention(x, x, x, attn_mask=torch.ones(5, 5).tril().bool())),
        (1, 2, 5, 4),
    ),
    "sdpa float mask": (
        fn(
            lambda s, x: F.scaled_dot_product_attention(
                x, x, x, attn_mask=torch.arange(25.0).reshape(5, 5).double() / 9, scale=0.3
            )
        ),
        (1, 2, 5, 4),
    ),
    "rnn": (fn(lambda s, x: s.m[0](x)[0], nn.RNN(3, 4, batch_first=True)), (1, 5, 3)),
    "lstm": (fn(lambda s, x: s.m[0](x), nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)), (1, 4, 3)),
    "gru": (fn(lambda s, x: s.m[0](x)[0], nn.GRU(3, 4, batch_first=True)), (1, 4, 3)),
    "lstmcell": (fn(lambda s, x: s.m[0](x)[0], nn.LSTMCell(3, 4)), (1, 3)),
    "grucell": (nn.GRUCell(3, 4), (1, 3)),
    "rnncell": (nn.RNNCell(3, 4, nonlinearity="relu"), (1, 3)),
    "conv3d": (
        S(nn.Conv3d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.AvgPool3d(2)),
        (1, 2, 4, 4, 4),
    ),
    "deconv3d": (nn.ConvTranspose3d(2, 2, 2, stride=2), (1, 2, 2, 3, 2)),
    "adaptive3d": (S(nn.AdaptiveAvgPool3d((2, 1, 2)), nn.AdaptiveMaxPool3d(1)), (1, 2, 4, 3, 4)),
    "einsum": (fn(lambda s, x: torch.einsum("bchw,bcHW->bhwHW", x, x)), (1, 2, 2, 3)),
    "einsum2": (fn(lambda s, x: torch.einsum("nij,njk->nik", x, x)), (1, 3, 3)),
    "cumsum": (fn(lambda s, x: x.cumsum(1)), (1, 4, 3)),
    "topk": (fn(lambda s, x: x.topk(3, 1)[0]), (1, 7)),
    "topk both": (fn(lambda s, x: x.topk(3, 1)), (1, 7)),
    "sort": (fn(lambda s, x: x.sort(1, descending=True)[0]), (1, 2, 5)),
    "argmax": (fn(lambda s, x: x.argmax(1)), (1, 7)),
    "maxdim": (fn(lambda s, x: x.max(1)), (1, 4, 3)),
    "std": (fn(lambda s, x: x.std(1) + x.var(1)), (1, 4, 3)),
    "norm": (fn(lambda s, x: F.normalize(x, dim=1) + x.norm() + x.norm(p=1, dim=1, keepdim=True)), (1, 4, 3)),
    "rmsnorm": (nn.RMSNorm(4), (1, 3, 4)),
    "weightnorm": (torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3)), (1, 1, 5, 5)),
    "spectral": (torch.nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), (1, 4)),
    "prelu": (S(nn.Conv2d(1, 3, 1), nn.PReLU(3), nn.PReLU()), (1, 1, 3, 3)),
    **{
        k: (getattr(nn, k)(), (1, 3, 4))
        for k in "Mish SELU CELU Softsign Hardshrink Softshrink Tanhshrink LogSigmoid GELU ELU Hardswish Hardsigmoid ReLU6 SiLU Softplus Hardtanh LeakyReLU RReLU".split()
    },
    "threshold": (nn.Threshold(0.1, 5.0), (1, 3, 4)),
    "glu": (nn.GLU(1), (1, 4, 3)),
    "softmin": (nn.Softmin(1), (1, 4)),
    "col2im": (nn.Fold((4, 5), 2), (1, 8, 12)),
    "lppool": (nn.LPPool2d(2, 2), (1, 2, 4, 4)),
    "lppool1": (nn.LPPool1d(3, 2), (1, 2, 4)),
    "instnorm": (nn.InstanceNorm2d(3, affine=True), (1, 3, 4, 4)),
    "instnorm stats": (nn.InstanceNorm1d(3, track_running_stats=True), (1, 3, 4)),
    "lrn": (nn.LocalResponseNorm(3), (1, 5, 3, 3)),
    "groupnorm1d": (nn.GroupNorm(2, 4), (1, 4, 6)),
    "bn1d": (nn.BatchNorm1d(3), (1, 3)),
    "bn3d": (nn.BatchNorm3d(3), (1, 3, 2, 2, 2)),
    "ln ln": (S(nn.LayerNorm(6), nn.LayerNorm(6)), (1, 3, 6)),
    "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), (1, 1, 3, 4)),
    "linear1d": (nn.Upsample(scale_factor=2, mode="linear"), (1, 2, 4)),
    "trilinear": (nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True), (1, 1, 2, 3, 2)),
    "nearest1d": (nn.Upsample(scale_factor=2), (1, 2, 4)),
    "nearest3d": (nn.Upsample(scale_factor=2), (1, 2, 2, 2, 2)),
    "masked_fill": (
        fn(lambda s, x: torch.softmax(x.masked_fill(torch.ones(4, 4).tril() == 0, float("-inf")), -1)),
        (1, 4, 4),
    ),
    "tril triu": (fn(lambda s, x: x.tril() + x.triu(1)), (1, 4, 4)),
    "where": (
        fn(lambda s, x: torch.where(x > 0, x, -x * 2) + torch.where((x > 1) | ~(x < 0.5), 1.0, 0.0)),
        (1, 4, 4),
    ),
    "sign pow floor": (
        fn(
            lambda s, x: (
                x.sign() * (x.abs() + 0.1) ** 1.5
                + (x * 3) // 2
                + x % 0.7
                + x.floor()
                + x.ceil()
                + x.round()
                + x**-1
            )
        ),
        (1, 4, 4),
    ),
    "exp2 log": (
        fn(
            lambda s, x: (
                torch.exp2(x)
                + torch.log2(x.abs() + 1)
                + torch.log1p(x.abs())
                + torch.expm1(x)
                + torch.log10(x.abs() + 1)
                + x.erf()
                + x.sin()
                + x.cos()
                + x.tan()
                + x.atan()
                + torch.sinh(x)
                + torch.cosh(x)
            )
        ),
        (1, 4, 4),
    ),
    "float pow tensor": (fn(lambda s, x: 2**x + (x.abs() + 1) ** x + torch.atan2(x, x + 3)), (1, 4, 4)),
    "roll flip": (fn(lambda s, x: x.roll(1, 2).flip(1) + x.roll((1, 1), (1, 2))), (1, 4, 4)),
    "stack repeat": (
        fn(lambda s, x: torch.stack([x, x * 2], 1).repeat(1, 2, 1, 1).repeat_interleave(2, 3)),
        (1, 2, 3),
    ),
    "gather": (fn(lambda s, x: x.gather(1, torch.tensor([[[1, 0, 0]]]))), (1, 4, 3)),
    "index": (fn(lambda s, x: x[:, [2, 0]] + x[:, :, [1, 1]][:, :2, :]), (1, 4, 2)),
    "index_select": (fn(lambda s, x: x.index_select(1, torch.tensor([2, 0]))), (1, 4, 2)),
    "meshgrid pos": (fn(lambda s, x: x + torch.linspace(-1, 1, 4) + torch.arange(4).sin()), (1, 3, 4)),
    "baddbmm": (fn(lambda s, x: torch.baddbmm(x, x, x) + torch.addmm(x[0, 0], x[0], x[0])), (1, 3, 3)),
    "bilinear": (fn(lambda s, x: s.m[0](x, x * 2), nn.Bilinear(3, 3, 2)), (1, 3)),
    "cosine": (
        fn(lambda s, x: F.cosine_similarity(x, x + 1, 1) + F.pairwise_distance(x, x * 2)[:, None]),
        (1, 3, 1),
    ),
    "cdist": (fn(lambda s, x: torch.cdist(x, x * 2)), (1, 3, 4)),
    "logsumexp": (fn(lambda s, x: x.logsumexp(1)), (1, 3, 4)),
    "prod": (fn(lambda s, x: x.prod(1) + x.cumprod(1)[:, 0]), (1, 3, 4)),
    "pixelunshuffle": (nn.PixelUnshuffle(2), (1, 1, 4, 4)),
    "channelshuffle": (nn.ChannelShuffle(2), (1, 4, 2, 2)),
    "headsplit": (
        fn(
            lambda s, x: (
                s.m[0](x)
                .reshape(1, 4, 2, 3)
                .transpose(1, 2)
                .reshape(1, 2, 2, 2, 3)
                .permute(0, 2, 1, 3, 4)
                .flatten(2)
                .softmax(-1)
            ),
            nn.Linear(6, 6),
        ),
        (1, 4, 6),
    ),
    "flat ln": (
        S(
            nn.Conv2d(2, 6, 2, stride=2),
            nn.Flatten(2),
            fn(lambda s, x: s.m[0](x.transpose(1, 2)), nn.LayerNorm(6)),
        ),
        (1, 2, 4, 4),
    ),
    "grid_sample": (
        fn(
            lambda s, x: F.grid_sample(
                x,
                F.affine_grid(torch.eye(2, 3).double()[None] * 0.8, (1, 1, 4, 4), align_corners=False),
                align_corners=False,
            )
        ),
        (1, 1, 4, 4),
    ),
    "tied": (
        fn(lambda s, x: F.linear(F.linear(x, s.m[0].weight), s.m[0].weight.t()), nn.Linear(4, 3)),
        (1, 4),
    ),
    "embedding": (nn.Embedding(7, 4), [torch.tensor([[1, 5, 2]])]),
    "embbag": (nn.EmbeddingBag(7, 4), [torch.tensor([[1, 5, 2]])]),
    "two inputs": (
        fn(lambda s, x, y: {"a": x + y, "b": (x * y).sum(1)}),
        [torch.rand(1, 3), torch.rand(1, 3)],
    ),
    "any all": (fn(lambda s, x: (x > 0).any(1) * 1.0 + (x > -1).all(1) + (x.amin(1)).isnan()), (1, 3, 4)),
    "unfold": (fn(lambda s, x: x.unfold(2, 2, 1).sum(-1)), (1, 2, 4)),
    "as_strided diag": (
        fn(lambda s, x: torch.diagonal(x, dim1=1, dim2=2) + x.diff(dim=1)[:, :1].sum()),
        (1, 3, 3),
    ),
    "clamp tensor": (
        fn(
            lambda s, x: (
                torch.clamp(x, min=x * 0.5, max=x + 1)
                + torch.clip(x, 0, 1)
                + x.clamp_min(0.2)
                + torch.lerp(x, x * 2, 0.3)
                + torch.addcmul(x, x, x, value=0.5)
                + torch.addcdiv(x, x, x.abs() + 1)
            )
        ),
        (1, 3, 3),
    ),
    "dyt": (fn(lambda s, x: torch.tanh(x * s.m[0].weight) * x.size(1), nn.LayerNorm(3)), (1, 3, 3)),
    "scalar const": (fn(lambda s, x: x * torch.tensor(2.5) + torch.tensor([1.0, 2, 3])), (1, 3, 3)),
    "gumbel": (fn(lambda s, x: x / x.detach().abs().mean().sqrt()), (1, 3, 3)),
    "maxunpool": (
        fn(lambda s, x: s.m[1](*s.m[0](x)), nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)),
        (1, 1, 4, 4),
    ),
    "fracpool": (nn.AdaptiveMaxPool1d(3), (1, 2, 7)),
    "upsize": (fn(lambda s, x: F.interpolate(x, size=(3, 3), mode="area")), (1, 1, 5, 6)),
    "antialias": (
        fn(lambda s, x: F.interpolate(x, size=(3, 3), mode="bilinear", antialias=True)),
        (1, 1, 6, 6),
    ),
    "fft": (fn(lambda s, x: torch.fft.rfft(x).abs()), (1, 4)),
    "conv same": (nn.Conv1d(2, 3, 4, padding="same"), (1, 2, 6)),
    "conv circular": (nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), (1, 1, 4, 4)),
    "index_put": (
        fn(lambda s, x: (lambda y: (y.__setitem__((slice(None), [0, 2]), 0.0), y)[1])(x * 2)),
        (1, 3, 3),
    ),
    "scatter": (
        fn(
            lambda s, x: (
                torch.zeros(1, 4, 3)
                .double()
                .scatter_add(1, torch.tensor([[[0, 1, 2], [1, 1, 1], [3, 0, 2]]]), x)
            )
        ),
        (1, 3, 3),
    ),
    "onehot": (fn(lambda s, x: F.one_hot(x, 5) * 1.0), [torch.tensor([[1, 3]])]),
    "unsqueeze expand": (
        fn(
            lambda s, x: (
                x[:, None].expand(1, 3, 4, 2) - x[:, :, None].expand(1, 4, 2, 2)[:, :3] * 0.5
                if False
                else x[:, None].expand(1, 3, 4, 2) * 2
            )
        ),
        (1, 4, 2),
    ),
}


def _later(module):
    return lambda: module


MODULES = {f"module {name}": (_later(module), shape) for name, (module, shape) in _MADE.items()}
