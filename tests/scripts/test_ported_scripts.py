"""Scripts written for PyTorch run with only their imports changed, and reach the same losses."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

IMPORTS = {
    "torch": """
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR
        from torch.utils.data import DataLoader, TensorDataset
    """,
    "minigrad": """
        import minigrad as torch
        import minigrad.nn as nn
        import minigrad.nn.functional as F
        from minigrad.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR
        from minigrad.data import DataLoader, TensorDataset
    """,
}

# In each script, `arrays` are its data, `start(model)` gives both libraries the same weights,
# `dtype` is the precision and `path` a file to save to; it leaves its numbers in `history`.

MLP = """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)

    class MLP(nn.Module):
        def __init__(self, n_in, n_hidden, n_out, p=0.0):
            super().__init__()
            self.fc1 = nn.Linear(n_in, n_hidden)
            self.fc2 = nn.Linear(n_hidden, n_hidden, bias=False)
            self.out = nn.Linear(n_hidden, n_out)
            self.drop = nn.Dropout(p)

        def forward(self, x):
            x = F.relu(self.fc1(x))
            x = self.drop(torch.tanh(self.fc2(x)))
            return self.out(x)

    x = torch.from_numpy(arrays["x"]).to(device, dtype)
    y = torch.tensor(arrays["y"], dtype=torch.long, device=device)
    n_train = int(0.8 * len(x))
    train = TensorDataset(x[:n_train], y[:n_train])
    loader = DataLoader(train, batch_size=16, shuffle=False)

    model = MLP(x.shape[1], 32, 3).to(device).to(dtype)
    start(model)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True
    )
    scheduler = StepLR(optimizer, step_size=2, gamma=0.5)

    for epoch in range(5):
        model.train()
        running = 0.0
        for i, (inputs, targets) in enumerate(loader):
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(input=outputs, target=targets)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
            running += loss.item() * inputs.size(0)
            history.append(float(norm))
        scheduler.step()
        history.append(running / n_train)
        history.append(scheduler.get_last_lr()[0])

        model.eval()
        with torch.no_grad():
            logits = model(x[n_train:])
            predicted = logits.argmax(1)
            accuracy = (predicted == y[n_train:]).float().mean().item()
            top = torch.softmax(logits, dim=1).max(dim=1).values
        history.append(accuracy)
        history.append(top.sum().item())
"""

CNN = """
    def init_weights(m):
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)

    class Net(nn.Module):
        def __init__(self, classes=4):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 6, kernel_size=3, padding="same", bias=False),
                nn.BatchNorm2d(6),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2),
                nn.GELU(),
                nn.AvgPool2d(kernel_size=2, stride=1),
            )
            self.classifier = nn.Linear(8, classes)

        def forward(self, x):
            x = self.features(x)
            x = F.adaptive_avg_pool2d(x, (1, 1))
            x = x.view(x.size(0), -1)
            return F.log_softmax(self.classifier(x), dim=1)

    images = torch.tensor(arrays["images"]).unsqueeze(1).type_as(torch.zeros(1, dtype=dtype))
    labels = torch.from_numpy(arrays["labels"])
    model = Net().to(dtype)
    model.apply(init_weights)
    start(model)
    decay = [p for n, p in model.named_parameters() if p.ndim > 1]
    rest = [p for n, p in model.named_parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}], lr=3e-3
    )
    warmup = LinearLR(optimizer, start_factor=0.1, total_iters=3)
    scheduler = SequentialLR(optimizer, [warmup, CosineAnnealingLR(optimizer, T_max=9)], [3])
    weight = torch.ones(4, dtype=dtype)
    weight[0] = 2.0

    for step in range(12):
        model.train()
        batch = slice(8 * (step % 4), 8 * (step % 4) + 8)
        loss = F.nll_loss(model(images[batch]), labels[batch], weight=weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        history.append(loss.item())

    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    checkpoint = torch.load(path)
    restored = Net().to(dtype)
    print(restored.load_state_dict(checkpoint["model"]))
    restored.eval(), model.eval()
    with torch.no_grad():
        a, b = model(images), restored(images)
    assert torch.equal(a, b) and torch.allclose(a.exp().sum(1), torch.ones(len(a), dtype=dtype))
    history.extend(a.amax(dim=1).tolist())
    history.append(restored.features[1].running_var.mean().item())
    history.append(sum(p.numel() for p in model.parameters() if p.requires_grad))
"""

RESIDUAL = """
    class Block(nn.Module):
        def __init__(self, cin, cout, stride=1):
            super().__init__()
            self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(cout)
            self.conv2 = nn.Conv2d(cout, cout, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(cout)
            self.shortcut = nn.Identity()
            if stride != 1 or cin != cout:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
                )

        def forward(self, x):
            out = F.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return F.relu(out)

    class ResNet(nn.Module):
        def __init__(self, widths=(4, 8), classes=4):
            super().__init__()
            self.stem = nn.Conv2d(1, widths[0], 3, padding=1)
            self.blocks = nn.ModuleList()
            cin = widths[0]
            for i, width in enumerate(widths):
                self.blocks.append(Block(cin, width, stride=1 if i == 0 else 2))
                cin = width
            self.heads = nn.ModuleDict({"fc": nn.Linear(cin, classes)})
            self.register_buffer("scale", torch.tensor(1.5))

        def forward(self, x):
            x = self.stem(x) * self.scale
            for block in self.blocks:
                x = block(x)
            return self.heads["fc"](torch.flatten(x.mean(dim=(2, 3)), 1))

    images = torch.as_tensor(arrays["images"])[:, None].to(dtype)
    labels = torch.as_tensor(arrays["labels"])
    target = F.one_hot(labels, num_classes=4).to(dtype)
    net = ResNet().to(dtype)
    start(net)
    opt = torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.9, 0.99), weight_decay=1e-5)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=1)
    best = float("inf")
    for epoch in range(6):
        net.train()
        order = torch.arange(len(images) - 1, -1, -1)
        total, correct = 0.0, 0
        for index in order.split(10):
            logits = net(images[index])
            loss = F.cross_entropy(logits, labels[index])
            loss = loss + 0.1 * F.binary_cross_entropy_with_logits(logits, target[index])
            loss = loss + 1e-3 * sum(p.pow(2).sum() for p in net.heads.parameters())
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_value_(net.parameters(), 0.5)
            opt.step()
            total += loss.detach().item() * len(index)
            correct += (logits.argmax(dim=-1) == labels[index]).sum().item()
        plateau.step(total)
        best = min(best, total)
        history += [total, correct, opt.param_groups[0]["lr"]]
    net.eval()
    x = images[:3].clone().requires_grad_(True)
    score = net(x).gather(1, labels[:3].unsqueeze(1)).squeeze(1).sum()
    (saliency,) = torch.autograd.grad(score, x)
    history += saliency.abs().reshape(3, -1).max(1)[0].tolist()
    history += [best, *(b.double().sum().item() for b in net.buffers())]
"""


def data() -> dict[str, Any]:
    """Three clouds of points, and stripes of four directions with noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    x = rng.standard_normal((120, 5)) + rng.standard_normal((3, 5))[y]
    labels = rng.integers(0, 4, 32)
    i, j = np.mgrid[:12, :12]
    stripes = np.stack([i, j, i + j, i - j])[labels]
    images = np.sin(stripes * 1.3) + 0.5 * rng.standard_normal(stripes.shape)
    return {"x": x, "y": y.tolist(), "images": images, "labels": labels}


def run(library: str, script: str, dtype: str, path: Path) -> list[float]:
    """The script's numbers; the weights at the start are drawn here, the same for both."""
    rng = np.random.default_rng(1)

    def start(model: Any) -> None:
        weights = {}
        for name, value in model.state_dict().items():
            drawn = 0.3 * rng.standard_normal(tuple(value.shape))
            if "weight" in name or "bias" in name:  # the rest are statistics and constants
                weights[name] = scope["torch"].tensor(np.asarray(drawn))
        model.load_state_dict({**model.state_dict(), **weights})

    scope: dict[str, Any] = {"arrays": data(), "start": start, "path": str(path), "history": []}
    source = textwrap.dedent(IMPORTS[library]) + f"dtype = torch.{dtype}\n"
    exec(compile(source + textwrap.dedent(script), f"{library}_script", "exec"), scope)
    return scope["history"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch's SequentialLR about itself
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("script", [MLP, CNN, RESIDUAL], ids=["mlp", "cnn", "residual"])
def test_ported_script(script: str, dtype: str, rtol: float, tmp_path: Path) -> None:
    theirs = run("torch", script, dtype, tmp_path / "theirs.pt")
    ours = run("minigrad", script, dtype, tmp_path / "ours.pt")
    assert len(ours) == len(theirs) > 20
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol / 100)
