# %% [markdown]
# # Train, look inside, break it
#
# A small convolutional network learns handwritten digits in seconds. Then we look at what it is
# made of, at its graph, at where the time goes, and at what it sees. At the end we break it in
# seven ways, on purpose, and read the answers.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from verdict import verdict

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset, digits
from minigrad.nn import functional as F

mg.manual_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. The data
#
# 1,797 digits of 8 × 8 pixels, which come with scikit-learn. 360 of them we hold out.

# %%
images, labels = digits()
order = rng.permutation(len(images))
images, labels = images[order], labels[order]
x_train, y_train = images[:-360], labels[:-360]
x_test, y_test = mg.tensor(images[-360:]), labels[-360:]

figure, axes = plt.subplots(1, 10, figsize=(9, 1.2))
for ax, image, label in zip(axes, images, labels, strict=False):
    ax.imshow(image[0], cmap="gray_r")
    ax.set_title(label)
    ax.axis("off")
plt.show()

# %% [markdown]
# ## 2. The network
#
# The convolutions have no bias: the batch normalisation after them would subtract it again.

# %%
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1, bias=False),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(128, 10),
)
print(nn.utils.summary(model, x_test[:1]))

# %% [markdown]
# ## 3. Training

# %%
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=64, shuffle=True, drop_last=True)
optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
losses, accuracies = [], []


def accuracy():
    """Of the held-out digits, in per cent."""
    model.eval()
    with mg.no_grad():
        right = model(x_test).argmax(dim=1).numpy() == y_test
    model.train()
    return 100 * right.mean()


for _ in range(6):
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    accuracies.append(accuracy())

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
left.semilogy(losses)
left.set(xlabel="step", title="cross-entropy")
right.plot(range(1, 7), accuracies, "o-")
right.set(xlabel="epoch", title="held-out digits right (%)")
plt.show()
print(f"{accuracies[-1]:.1f} % right")
assert accuracies[-1] > 95

# %% [markdown]
# ## 4. Look inside: the graph
#
# Every operation of the loss is a box; the frames are layers. The round boxes are parameters,
# where gradients are collected.

# %%
x, y = mg.tensor(x_train[:64]), mg.tensor(y_train[:64])
loss = F.cross_entropy(model(x), y)
mg.graph(loss, model)

# %% [markdown]
# `explore` writes a page that steps through that graph, forward and then back with the gradient,
# with every array, the formula of each operation, and the lines of this notebook. Open the file in
# a browser; the arrow keys go forward and back.

# %%
with mg.remember():
    loss = F.cross_entropy(model(x), y)
page = mg.explore(loss, Path(tempfile.mkdtemp()) / "digits.html", model)
print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB, one file, no network needed")

# %% [markdown]
# ## 5. Look inside: where time and memory go
#
# One step under `profile`. "kept" is what an operation holds for its backward. Which layer would
# you make faster first? (The times are those of the machine this ran on.)

# %%
with mg.profile():
    F.cross_entropy(model(x), y).backward()

# %% [markdown]
# ## 6. Look inside: what it sees
#
# The sixteen filters of the first layer, what they make of one digit, and the digits that the
# network got wrong.

# %%
model.eval()
with mg.no_grad():
    maps = model[:3](x_test[:1]).numpy()[0]
    probabilities = F.softmax(model(x_test), dim=1).numpy()
filters = model[0].weight.detach().numpy()[:, 0]

figure, axes = plt.subplots(2, 16, figsize=(9, 1.5))
for i in range(16):
    axes[0, i].imshow(filters[i], cmap="RdBu", vmin=-0.7, vmax=0.7)
    axes[1, i].imshow(maps[i], cmap="gray_r")
for ax in axes.ravel():
    ax.axis("off")
plt.show()

wrong = np.flatnonzero(probabilities.argmax(axis=1) != y_test)[:8]
figure, axes = plt.subplots(1, 8, figsize=(9, 1.7), layout="constrained")
for ax in axes:
    ax.axis("off")
for ax, i in zip(axes, wrong, strict=False):
    ax.imshow(x_test[int(i), 0].numpy(), cmap="gray_r")
    guess = probabilities[i].argmax()
    ax.set_title(f"{guess} ({probabilities[i].max():.0%})\ntruly {y_test[i]}", fontsize=9)
plt.show()

# %% [markdown]
# ## 7. Break it
#
# Errors are read more often than documentation. Each of these cells makes a mistake that everybody
# makes once. Before you read the answer: what would *you* expect to be told?


# %%
def broken(function):
    """Run it, and print the error, with the notes that layers add."""
    try:
        function()
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        print(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            print("   ", note)
    else:
        raise AssertionError("this should have failed")


# %% [markdown]
# **A layer of the wrong size.** Two poolings of 8 × 8 leave 2 × 2, so 128 values, not 100.


# %%
def wrong_size():
    nn.Sequential(*model[:9], nn.Linear(100, 10))(x)


broken(wrong_size)

# %% [markdown]
# **Targets that would broadcast.** Predictions `(64, 1)` and targets `(64,)` give 64 · 64
# differences in numpy, and a loss that goes down, to nowhere.


# %%
def broadcasting_targets():
    F.mse_loss(mg.randn(64, 1), mg.randn(64))


broken(broadcasting_targets)


# %% [markdown]
# **Backward twice.** The first one freed what the second needs.


# %%
def backward_twice():
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    loss.backward()


broken(backward_twice)


# %% [markdown]
# **A change in place** of something that backward still needs:


# %%
def changed_in_place():
    a = mg.randn(3, requires_grad=True)
    b = a.exp()
    c = b * b
    b += 1
    c.sum().backward()


broken(changed_in_place)

# %% [markdown]
# **A batch of one sample**, in training. There is no variance in it. Nothing is lost by the
# attempt: the running statistics are those from before.


# %%
def one_sample():
    nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()(mg.randn(1, 4))


broken(one_sample)


# %% [markdown]
# **NaN.** Somewhere a logarithm of zero met a zero. `detect_anomaly` names the operation and the
# line that made the first one.


# %%
def not_a_number():
    p = mg.tensor([0.0, 0.5, 0.5], requires_grad=True)
    with np.errstate(invalid="ignore"), mg.autograd.detect_anomaly():
        entropy = -(p * p.log()).sum()
        entropy.backward()


broken(not_a_number)

# %% [markdown]
# **And one that raises nothing**: `zero_grad` forgotten, while a line is fitted to points.
# Gradients add up from step to step, and what was added is never forgotten: a ball that rolls in a
# bowl without friction. Nobody can tell you; only the curve can.


# %%
def fit_a_line(forget, steps=80):
    at = mg.linspace(-1, 1, 20)
    slope, offset = mg.zeros(1, requires_grad=True), mg.zeros(1, requires_grad=True)
    optimizer = optim.SGD([slope, offset], lr=0.1)
    found = []
    for _ in range(steps):
        loss = F.mse_loss(slope * at + offset, 2 * at - 1)
        if not forget:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


plt.figure(figsize=(6, 2.8))
plt.plot(fit_a_line(forget=False), label="as it should be")
plt.plot(fit_a_line(forget=True), label="zero_grad forgotten")
plt.xlabel("step")
plt.ylabel("mean squared error")
plt.ylim(top=3.4)
plt.legend(frameon=False, ncols=2)
plt.show()

# %% [markdown]
# ## Exercises
#
# ### 1. Count the parameters
#
# How many parameters has the network of section 2? Compute it from the sizes of its layers.
#
# <details><summary>An answer</summary>
#
# ```python
# def parameters():
#     return 16 * 1 * 9 + 2 * 16 + 32 * 16 * 9 + 2 * 32 + 128 * 10 + 10
# ```
#
# A convolution has out · in · 3 · 3, a batch normalisation a gamma and a beta for each channel.
# </details>


# %%
def parameters():
    raise NotImplementedError  # your turn


# %%
def check_parameters():
    expected, found = sum(p.numel() for p in model.parameters()), parameters()
    assert found == expected, f"you say {found}, the model has {expected}"


print(verdict(check_parameters))

# %% [markdown]
# ### 2. Where does it look?
#
# The gradient of one class's score with respect to the *image* says which pixels matter. Write
# `saliency(image, k)` for an image `(1, 1, 8, 8)` and a class `k`; return an array `(8, 8)`, the
# gradient's absolute value. Leave no gradients in the parameters.
#
# <details><summary>An answer</summary>
#
# ```python
# def saliency(image, k):
#     image = image.clone().requires_grad_()
#     (gradient,) = mg.autograd.grad(model(image)[0, k], image)
#     return gradient.abs()[0, 0].numpy()
# ```
#
# `autograd.grad` returns gradients and writes none.
# </details>


# %%
def saliency(image, k):
    raise NotImplementedError  # your turn


# %%
def check_saliency():
    model.eval()
    model.zero_grad()
    found = saliency(x_test[:1], 3)
    assert np.shape(found) == (8, 8), f"the shape is {np.shape(found)}"
    assert (found >= 0).all() and found.max() > 0, "an absolute value is not negative, nor all 0"
    assert all(p.grad is None for p in model.parameters()), "the parameters have gradients now"
    row, column = np.unravel_index(found.argmax(), (8, 8))
    scores = []
    for step in (-1e-2, 1e-2):
        moved = x_test[:1].clone().double()
        moved[0, 0, int(row), int(column)] += step
        with mg.no_grad():
            scores.append(model(moved.float())[0, 3].item())
    slope = abs(scores[1] - scores[0]) / 2e-2
    assert abs(slope - found.max()) < 0.1 * slope, "moving that pixel says otherwise"


print(verdict(check_saliency))

# %% [markdown]
# ### 3. Repair it
#
# This loop runs without an error and learns nothing. Find the mistake, and return a loss below 0.5.
#
# <details><summary>An answer</summary>
#
# ```python
# def repaired():
#     mg.manual_seed(0)
#     network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
#     optimizer = optim.SGD(network.parameters(), lr=0.5)
#     for _ in range(100):
#         loss = F.cross_entropy(network(x), y)
#         optimizer.zero_grad()
#         loss.backward()
#         optimizer.step()
#     return loss.item()
# ```
#
# `zero_grad` stood between `backward` and `step`, so that every step was one of zero.
# </details>


# %%
def repaired():
    mg.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimizer = optim.SGD(network.parameters(), lr=0.5)
    for _ in range(100):
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
    return loss.item()


# %%
def check_repaired():
    found = repaired()
    assert found < 0.5, f"the loss is {found:.2f}"


print(verdict(check_repaired))
