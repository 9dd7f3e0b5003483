"""Networks over pictures: a vision transformer, a U-Net, and a style that is optimised for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import side_by_side
from side_by_side import DTYPES, STEPS, Run


def vit(m: Any, run: Run) -> Any:
    """Patches, a token for the class, positions; the library's encoder layers."""
    nn, F = m.nn, m.nn.functional
    pictures = run.normal(40, 3, 8, 8)
    labels = m.from_numpy(run.rng.integers(0, 5, 40))

    class ViT(nn.Module):
        def __init__(self, image: int, patch: int, dim: int, depth: int, classes: int) -> None:
            super().__init__()
            self.to_patches = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)
            self.cls_token = nn.Parameter(m.randn(1, 1, dim))
            self.pos_embedding = nn.Parameter(m.randn(1, (image // patch) ** 2 + 1, dim) * 0.02)
            layer = nn.TransformerEncoderLayer(
                d_model=dim, nhead=2, dim_feedforward=2 * dim, dropout=0.0, activation="gelu",
                batch_first=True, norm_first=True,
            )  # fmt: skip
            self.transformer = nn.TransformerEncoder(
                layer, num_layers=depth, enable_nested_tensor=False
            )
            self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))

        def forward(self, img: Any) -> Any:
            x = self.to_patches(img).flatten(2).transpose(1, 2)
            cls_tokens = self.cls_token.expand(x.shape[0], -1, -1)
            x = m.cat([cls_tokens, x], dim=1) + self.pos_embedding
            return self.mlp_head(self.transformer(x)[:, 0])

    model = ViT(8, 4, 8, 2, 5)
    run.start(model)
    optimizer = m.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    scheduler = m.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=STEPS)
    dataset = m.utils.data.TensorDataset(pictures, labels)
    train = m.utils.data.Subset(dataset, list(range(30)))
    loader = m.utils.data.DataLoader(train, batch_size=6, shuffle=False, drop_last=True)
    for _ in range(STEPS // 5):
        for images, targets in loader:
            logits = model(images)
            loss = F.cross_entropy(logits, targets, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            accuracy = logits.argmax(dim=1).eq(targets).float().mean()
            yield loss.item(), accuracy.item(), scheduler.get_last_lr()[0]


def unet(m: Any, run: Run) -> Any:
    """Down, up and across: skips joined by cat, odd sizes padded, a Dice term in the loss."""
    nn, F = m.nn, m.nn.functional

    class DoubleConv(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, mid_channels: Any = None) -> None:
            super().__init__()
            if not mid_channels:
                mid_channels = out_channels
            self.double_conv = nn.Sequential(
                nn.Conv2d(in_channels, mid_channels, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(mid_channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(mid_channels, out_channels, kernel_size=3, padding=1, bias=False),
                nn.GroupNorm(2, out_channels),
                nn.ReLU(inplace=True),
            )

        def forward(self, x: Any) -> Any:
            return self.double_conv(x)

    class Up(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, bilinear: bool) -> None:
            super().__init__()
            if bilinear:
                self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
                self.conv = DoubleConv(in_channels, out_channels, in_channels // 2)
            else:
                half = in_channels // 2
                self.up = nn.ConvTranspose2d(in_channels, half, kernel_size=2, stride=2)
                self.conv = DoubleConv(in_channels, out_channels)

        def forward(self, x1: Any, x2: Any) -> Any:
            x1 = self.up(x1)
            diff_y = x2.size()[2] - x1.size()[2]
            diff_x = x2.size()[3] - x1.size()[3]
            x1 = F.pad(x1, [diff_x // 2, diff_x - diff_x // 2, diff_y // 2, diff_y - diff_y // 2])
            return self.conv(m.cat([x2, x1], dim=1))

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inc = DoubleConv(1, 4)
            self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(4, 8))
            self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 8))
            self.up1 = Up(16, 4, bilinear=True)
            self.up2 = Up(8, 4, bilinear=False)
            self.up2.up = nn.ConvTranspose2d(4, 4, kernel_size=2, stride=2)
            self.outc = nn.Conv2d(4, 1, kernel_size=1)

        def forward(self, x: Any) -> Any:
            x1 = self.inc(x)
            x2 = self.down1(x1)
            x3 = self.down2(x2)
            return self.outc(self.up2(self.up1(x3, x2), x1))

    model = UNet()
    run.start(model)
    optimizer = m.optim.RMSprop(
        model.parameters(), lr=1e-4, weight_decay=1e-8, momentum=0.9, foreach=True
    )
    scheduler = m.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=2)
    criterion = nn.BCEWithLogitsLoss(pos_weight=m.tensor([2.0], dtype=run.dtype))
    i, j = np.mgrid[:11, :9]
    for _ in range(STEPS):
        y, x = run.rng.uniform(2, 8, (2, 3, 1, 1))
        masks = run.tensor((i - y) ** 2 + (j - x) ** 2 < 6)
        images = masks.unsqueeze(1) + 0.3 * run.normal(3, 1, 11, 9)
        pred = model(images)
        loss = criterion(pred.squeeze(1), masks)
        probs = F.sigmoid(pred.squeeze(1))
        inter = 2 * (probs * masks).sum(dim=(-1, -2))
        sets_sum = probs.sum(dim=(-1, -2)) + masks.sum(dim=(-1, -2))
        sets_sum = m.where(sets_sum == 0, inter, sets_sum)
        dice = ((inter + 1e-6) / (sets_sum + 1e-6)).mean()
        loss = loss + 1 - dice
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        m.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step(dice.item())
        yield loss.item(), dice.item(), optimizer.param_groups[0]["lr"]
    state = model.state_dict()
    model.load_state_dict(state)


def style(m: Any, run: Run) -> Any:
    """The picture is what is trained, by LBFGS with a closure, through a network that is fixed."""
    nn, F = m.nn, m.nn.functional

    def gram_matrix(input: Any) -> Any:
        a, b, c, d = input.size()
        features = input.view(a * b, c * d)
        return m.mm(features, features.t()).div(a * b * c * d)

    class ContentLoss(nn.Module):
        def __init__(self, target: Any) -> None:
            super().__init__()
            self.target = target.detach()

        def forward(self, input: Any) -> Any:
            self.loss = F.mse_loss(input, self.target)
            return input

    class StyleLoss(nn.Module):
        def __init__(self, target_feature: Any) -> None:
            super().__init__()
            self.target = gram_matrix(target_feature).detach()

        def forward(self, input: Any) -> Any:
            self.loss = F.mse_loss(gram_matrix(input), self.target)
            return input

    class Normalization(nn.Module):
        def __init__(self, mean: Any, std: Any) -> None:
            super().__init__()
            self.mean = mean.clone().detach().view(-1, 1, 1)
            self.std = std.clone().detach().view(-1, 1, 1)

        def forward(self, img: Any) -> Any:
            return (img - self.mean) / self.std

    class Picture(nn.Module):
        def __init__(self, img: Any) -> None:
            super().__init__()
            self.img = nn.Parameter(img)

    cnn = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3, padding=1)
    ).eval()
    style_img, content_img = run.normal(1, 3, 8, 8), run.normal(1, 3, 8, 8)
    picture = Picture(content_img.clone())
    run.start(cnn, picture)
    cnn.requires_grad_(False)
    mean, std = run.tensor([0.1, 0.2, 0.3]), run.tensor([0.9, 1.0, 1.1])
    model = nn.Sequential(Normalization(mean, std))
    style_losses, content_losses = [], []
    n = 0
    for layer in copy.deepcopy(cnn).children():
        if isinstance(layer, nn.Conv2d):
            n += 1
        model.add_module(f"{type(layer).__name__}_{len(model)}", layer)
        if isinstance(layer, nn.Conv2d):
            content_losses.append(ContentLoss(model(content_img)))
            model.add_module(f"content_loss_{n}", content_losses[-1])
            style_losses.append(StyleLoss(model(style_img)))
            model.add_module(f"style_loss_{n}", style_losses[-1])
    cnn.load_state_dict(cnn.state_dict())
    optimizer = m.optim.LBFGS([picture.img.requires_grad_()], lr=0.5, max_iter=2)
    steps: list[Any] = []

    def closure() -> Any:
        optimizer.zero_grad()
        model(picture.img)
        style_score = sum(sl.loss for sl in style_losses) * 1000
        content_score = sum(cl.loss for cl in content_losses)
        loss = style_score + content_score
        loss.backward()
        steps.append((loss.item(), float(picture.img.grad.abs().max())))
        return style_score + content_score

    while len(steps) < STEPS:
        optimizer.step(closure)
        with m.no_grad():
            picture.img.clamp_(-2.5, 2.5)
    yield from steps[:STEPS]


@DTYPES
def test_vit(dtype: str) -> None:
    side_by_side.compare(vit, dtype)


@DTYPES
def test_unet(dtype: str) -> None:
    side_by_side.compare(unet, dtype)


@DTYPES
def test_style(dtype: str) -> None:
    side_by_side.compare(style, dtype)
