# %% [markdown]
# # Batch normalisation: from the equations to the compiled kernel
#
# One layer, five times: as a picture, as equations, as a sum of three terms, as a compiled loop,
# and as it stands in minigrad. Every time the numbers are compared with those of the time before.
# You need numpy and the chain rule; `engine.ipynb` shows where gradients come from.
#
# Source: S. Ioffe and C. Szegedy, *Batch Normalization: Accelerating Deep Network Training by
# Reducing Internal Covariate Shift*, 2015.

# %%
import matplotlib.pyplot as plt
import numba
import numpy as np
from verdict import verdict

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

mg.manual_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. What it is for
#
# A sigmoid is steep around 0 and flat elsewhere. Where its inputs are large, almost no gradient
# comes through. Ten layers, weights drawn with standard deviation 0.5: look at what arrives at the
# sigmoids, and at the gradient of each layer's weights. (Each spike of the plain network is a unit
# that gives nearly the same value for every sample: by layer 10 it can hardly tell them apart.)


# %%
def ten_layers(normalise):
    """Inputs of the sigmoids in the last layer, and the norm of each layer's gradient."""
    mg.manual_seed(1)
    x, weights = mg.randn(128, 64), []
    for _ in range(10):
        w = (0.5 * mg.randn(64, 64)).requires_grad_()
        weights.append(w)
        z = x @ w
        if normalise:
            z = F.batch_norm(z, None, None, training=True)
        x = z.sigmoid()
    (x * mg.randn(128, 64)).sum().backward()
    return z.detach().numpy().ravel(), [float(w.grad.norm()) for w in weights]


plain, normalised = ten_layers(False), ten_layers(True)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
bins = np.linspace(-7, 7, 71)
left.hist(plain[0], bins, alpha=0.6, label="plain")
left.hist(normalised[0], bins, alpha=0.6, label="normalised")
left.axvspan(-2, 2, color="0.9", zorder=0)
left.set(xlabel="what a sigmoid gets, layer 10", ylabel="values", title="grey: where it is steep")
left.legend(frameon=False)
right.semilogy(range(1, 11), plain[1], "o-", label="plain")
right.semilogy(range(1, 11), normalised[1], "o-", label="normalised")
right.set(xlabel="layer", title="norm of its gradient")
plt.show()

# %% [markdown]
# ## 2. Four equations forward
#
# A feature has $m$ values $x_i$, one a sample. Subtract their mean, divide by their standard
# deviation, and let the network choose scale and shift again:
#
# $$\text{mean} = \tfrac1m \sum x_i \qquad \text{var} = \tfrac1m \sum (x_i - \text{mean})^2 \qquad
# \hat x_i = \frac{x_i - \text{mean}}{\sqrt{\text{var} + \varepsilon}} \qquad
# y_i = \gamma \hat x_i + \beta$$

# %%
EPS = 1e-5


def forward(x, gamma, beta):
    """x (N, C); gamma and beta (C,). Returns y, x_hat and inv_std."""
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    inv_std = 1 / np.sqrt(var + EPS)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, x_hat, inv_std


x = rng.standard_normal((6, 3)) * [1, 3, 0.5] + [0, 2, -1]
gamma, beta = rng.standard_normal((2, 3))
g = rng.standard_normal((6, 3))  # the gradient of some loss with respect to y

y, x_hat, inv_std = forward(x, gamma, beta)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.4), sharey=True, layout="constrained")
for ax, values, title in zip(axes, (x, x_hat, y), ("x", "x_hat", "y"), strict=True):
    for feature in range(3):
        ax.plot(values[:, feature], np.full(6, feature), "o", alpha=0.7)
    ax.set(title=title, xlim=(-6, 9), yticks=range(3), ylim=(-0.5, 2.5))
axes[0].set_ylabel("feature")
plt.show()
print("means of x_hat    ", x_hat.mean(axis=0).round(12) + 0)
print("variances of x_hat", x_hat.var(axis=0).round(3))

# %% [markdown]
# ## 3. Six equations backward
#
# `mean` and `var` depend on *every* $x_i$. So a value acts in three ways: by itself, through the
# variance, and through the mean. The paper follows each of them, and so do these lines:


# %%
def six_equations(x, gamma, g, x_hat, inv_std):
    m = len(x)
    centred = x - x.mean(axis=0)
    dx_hat = g * gamma
    dvar = (dx_hat * centred).sum(axis=0) * -0.5 * inv_std**3
    dmean = -inv_std * dx_hat.sum(axis=0) + dvar * (-2 * centred).mean(axis=0)
    dx = dx_hat * inv_std + dvar * 2 * centred / m + dmean / m
    dgamma = (g * x_hat).sum(axis=0)
    dbeta = g.sum(axis=0)
    return dx, dgamma, dbeta


by_equations = six_equations(x, gamma, g, x_hat, inv_std)

# %% [markdown]
# Are they right? The tape knows nothing of batch normalisation. It sees means, products and a root,
# and finds the gradient by itself:


# %%
def on_the_tape(x, gamma, beta, g):
    x, gamma, beta = (mg.tensor(a, requires_grad=True) for a in (x, gamma, beta))
    centred = x - x.mean(0)
    y = gamma * centred / ((centred * centred).mean(0) + EPS).sqrt() + beta
    y.backward(mg.tensor(g))
    return tuple(t.grad.numpy() for t in (x, gamma, beta))


def largest_difference(found, expected):
    return max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))


by_tape = on_the_tape(x, gamma, beta, g)
print(f"six equations against the tape: {largest_difference(by_equations, by_tape):.0e}")
assert largest_difference(by_equations, by_tape) < 1e-12

# %% [markdown]
# ## 4. Three terms
#
# Put the equations into one another. In `dmean` the sum of the centred values is zero, and in
# `dvar` and `dmean` stand `dgamma` and `dbeta`. What remains is
#
# $$dx_i = \gamma \cdot \text{inv\_std} \cdot \Bigl(\; g_i \;-\; \tfrac1m\, d\beta \;-\;
# \hat x_i \cdot \tfrac1m\, d\gamma \;\Bigr)$$
#
# the gradient itself, *less its mean*, *less its part along* $\hat x$.


# %%
def three_terms(gamma, g, x_hat, inv_std):
    m = len(g)
    dgamma, dbeta = (g * x_hat).sum(axis=0), g.sum(axis=0)
    dx = gamma * inv_std * (g - dbeta / m - x_hat * dgamma / m)
    return dx, dgamma, dbeta


by_terms = three_terms(gamma, g, x_hat, inv_std)
assert largest_difference(by_terms, by_tape) < 1e-12
print("Σ dx        =", by_terms[0].sum(axis=0).round(12) + 0)
print("Σ dx·x_hat  =", (by_terms[0] * x_hat).sum(axis=0).round(4) + 0)

# %% [markdown]
# Both sums vanish (the second up to ε): *the loss cannot tell a shifted or scaled `x` from `x`.* A
# picture of it: a feature's gradient, as an arrow in the space of three samples. Whatever `g` is,
# the arrow stays on the circle's tangent: it can neither move the mean nor the length.

# %%
a, b = np.array([1, -1, 0]) / np.sqrt(2), np.array([1, 1, -2]) / np.sqrt(6)  # where Σ is 0
figure, ax = plt.subplots(figsize=(3.8, 3.8))
circle = np.linspace(0, 2 * np.pi, 100)
ax.plot(np.sqrt(3) * np.cos(circle), np.sqrt(3) * np.sin(circle), color="0.8")
for angle in np.linspace(0, 2 * np.pi, 9)[:-1]:
    three = (np.cos(angle) * a + np.sin(angle) * b)[:, None] * np.sqrt(3)
    _, three_hat, three_inv = forward(three, np.ones(1), np.zeros(1))
    for _ in range(3):
        dx = three_terms(np.ones(1), rng.standard_normal((3, 1)), three_hat, three_inv)[0]
        at, along = (three[:, 0] @ a, three[:, 0] @ b), (dx[:, 0] @ a, dx[:, 0] @ b)
        ax.arrow(*at, *along, head_width=0.07, color="tab:blue", alpha=0.7)
ax.set(aspect="equal", title="gradients of three samples", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
ax.axis("off")
plt.show()

# %% [markdown]
# This is also a trap for tests. Somebody who checks a backward with `y.sum()` sends `g = 1`
# everywhere, and the right answer is zero. So is the answer of this wrong formula, in which the
# last term is missing:


# %%
def wrong(gamma, g, x_hat, inv_std):
    return gamma * inv_std * (g - g.mean(axis=0))


ones = np.ones_like(x)
right_dx = three_terms(gamma, ones, x_hat, inv_std)[0]
print("with g = 1:    ", np.abs(wrong(gamma, ones, x_hat, inv_std) - right_dx).max().round(12))
right_dx = three_terms(gamma, g, x_hat, inv_std)[0]
print("with g random: ", np.abs(wrong(gamma, g, x_hat, inv_std) - right_dx).max().round(3))

# %% [markdown]
# ## 5. Compiled
#
# Each line of numpy above reads and writes a whole array. A compiled loop goes over the rows twice
# and keeps the rest in registers. This is the idea of minigrad's kernel, in 20 lines:


# %%
@numba.njit
def compiled_backward(gamma, g, x_hat, inv_std):
    n, c = g.shape
    dgamma, dbeta, dx = np.zeros(c), np.zeros(c), np.empty((n, c))
    for i in range(n):
        for k in range(c):  # along memory: features of a sample lie side by side
            dgamma[k] += g[i, k] * x_hat[i, k]
            dbeta[k] += g[i, k]
    for i in range(n):
        for k in range(c):
            three = g[i, k] - dbeta[k] / n - x_hat[i, k] * dgamma[k] / n
            dx[i, k] = gamma[k] * inv_std[k] * three
    return dx, dgamma, dbeta


by_loop = compiled_backward(gamma, g, x_hat, inv_std)
assert largest_difference(by_loop, by_terms) < 1e-12


def in_minigrad(x, gamma, beta, g, kernels):
    x, gamma, beta = (mg.tensor(a, requires_grad=True) for a in (x, gamma, beta))
    with mg.use_kernels(kernels):
        y = F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)
        y.backward(mg.tensor(g))
    return tuple(t.grad.numpy() for t in (x, gamma, beta))


for kernels in ("numpy", "numba"):
    found = in_minigrad(x, gamma, beta, g, kernels)
    print(f"minigrad, {kernels}: {largest_difference(found, by_tape):.0e} from the tape")
    assert largest_difference(found, by_tape) < 1e-12

# %% [markdown]
# The real kernel differs in what a reader would not miss and a user would: several threads with the
# same bits for any number of them, images, and accuracy. About the last, one more picture. The
# variance is often computed as mean of squares less squared mean, in one pass. In float32 that
# breaks as soon as the mean is large; minigrad's statistics are taken of differences to the
# channel's first value.

# %%
offsets = 10.0 ** np.arange(0, 6.5, 0.5)
errors = {"mean of squares - squared mean": [], "two passes": [], "minigrad": []}
for offset in offsets:
    values = (rng.standard_normal((4096, 1)) + offset).astype(np.float32)
    exact = values.astype(np.float64)
    exact = (exact - exact.mean()) / np.sqrt(exact.var() + EPS)
    with np.errstate(invalid="ignore"):
        one_pass = (values**2).mean() - values.mean() ** 2
        results = (
            (values - values.mean()) / np.sqrt(np.maximum(one_pass, 0) + np.float32(EPS)),
            (values - values.mean()) / np.sqrt(values.var() + np.float32(EPS)),
            F.batch_norm(mg.tensor(values), None, None, training=True, eps=EPS).numpy(),
        )
    for kept, result in zip(errors.values(), results, strict=True):
        kept.append(float(np.abs(result - exact).max()))
plt.figure(figsize=(6, 3.2))
for (name, values), style in zip(errors.items(), ("o-", "s-", "^-"), strict=True):
    plt.loglog(offsets, np.maximum(values, 1e-8), style, label=name)
plt.xlabel("mean of x, in standard deviations")
plt.ylabel("largest error of x_hat")
plt.ylim(top=1e6)
plt.legend(frameon=False)
plt.show()
assert max(errors["minigrad"]) < 1e-5

# %% [markdown]
# ## 6. Training and inference
#
# In training, a sample's output depends on the others in its batch. For inference the layer keeps
# running averages of mean and variance, and then every sample stands alone. A layer starts with
# mean 0 and variance 1, and with the default momentum of 0.1 takes some forty batches to arrive:

# %%
layer = nn.BatchNorm1d(1)
history = []
for _ in range(80):
    layer(3 + 2 * mg.randn(32, 1))
    history.append((float(layer.running_mean[0]), float(layer.running_var[0])))
plt.figure(figsize=(6, 2.8))
plt.plot(history, label=["running mean", "running variance"])
plt.axhline(3, color="tab:blue", ls=":", lw=1)
plt.axhline(4, color="tab:orange", ls=":", lw=1)
plt.xlabel("batches")
plt.legend(frameon=False)
plt.show()

sample = mg.tensor([[5.0]])
print("in evaluation, one sample is no problem:", layer.eval()(sample).tolist())
try:
    layer.train()(sample)
except ValueError as error:
    print("in training it is:", error)

# %% [markdown]
# ## Exercises
#
# ### 1. Evaluation, backwards
#
# In evaluation the statistics are constants. What is left of `dx`?
#
# <details><summary>An answer</summary>
#
# ```python
# def dx_in_evaluation(gamma, g, x_hat, inv_std):
#     return gamma * inv_std * g
# ```
#
# Two of the three ways of a value go through the statistics, and they are gone.
# </details>


# %%
def dx_in_evaluation(gamma, g, x_hat, inv_std):
    raise NotImplementedError  # your turn


# %%
def check_evaluation():
    mean, var = x.mean(axis=0), x.var(axis=0)
    t = mg.tensor(x, requires_grad=True)
    constants = (mg.tensor(a) for a in (mean, var, gamma, beta))
    F.batch_norm(t, *constants, training=False, eps=EPS).backward(mg.tensor(g))
    found = dx_in_evaluation(gamma, g, x_hat, inv_std)
    assert np.allclose(found, t.grad.numpy(), rtol=1e-10), "F.batch_norm has another gradient"


print(verdict(check_evaluation))

# %% [markdown]
# ### 2. Layer normalisation
#
# Layer normalisation takes the statistics of a *sample*, over its features: with `gamma` all ones,
# it is batch normalisation of the transposed array. Write its `dx` with `three_terms`.
#
# <details><summary>An answer</summary>
#
# ```python
# def dx_of_layer_norm(x, g):
#     _, x_hat, inv_std = forward(x.T, 1.0, 0.0)
#     return three_terms(1.0, g.T, x_hat, inv_std)[0].T
# ```
# </details>


# %%
def dx_of_layer_norm(x, g):
    raise NotImplementedError  # your turn


# %%
def check_layer_norm():
    t = mg.tensor(x, requires_grad=True)
    F.layer_norm(t, (3,), eps=EPS).backward(mg.tensor(g))
    found = dx_of_layer_norm(x, g)
    assert found.shape == x.shape, f"the shape is {found.shape}"
    assert np.allclose(found, t.grad.numpy(), rtol=1e-8), "F.layer_norm has another gradient"


print(verdict(check_layer_norm))

# %% [markdown]
# ### 3. The useless bias
#
# Before a batch normalisation a linear layer's bias has no effect. What is its gradient? Give the
# number, and see whether minigrad agrees.
#
# <details><summary>An answer</summary>
#
# ```python
# def gradient_of_the_bias():
#     return 0.0
# ```
#
# A bias shifts all samples of a feature, so its gradient is Σ dx, the first of the two sums that
# vanish. That is why `Conv2d(…, bias=False)` stands before `BatchNorm2d`.
# </details>


# %%
def gradient_of_the_bias():
    raise NotImplementedError  # your turn


# %%
def check_bias():
    linear, norm = nn.Linear(5, 3).double(), nn.BatchNorm1d(3).double()
    (norm(linear(mg.tensor(rng.standard_normal((8, 5))))) * mg.tensor(g[:1])).pow(
        2
    ).sum().backward()
    largest = float(linear.bias.grad.abs().max())
    assert abs(gradient_of_the_bias() - largest) < 1e-12, f"minigrad has {largest:.0e}"


print(verdict(check_bias))
