# %% [markdown]
# # 배치 정규화: 방정식에서 컴파일된 커널까지
#
# 층 하나를 다섯 번 봅니다. 그림으로, 방정식으로, 세 항의 합으로, 컴파일된 반복문으로, 그리고
# minigrad에 있는 그대로. 매번 바로 앞의 숫자와 비교합니다. numpy와 연쇄 법칙만 알면 됩니다.
# 기울기가 어디에서 오는지는 `engine.ko.ipynb`에 있습니다.
#
# 출처: S. Ioffe, C. Szegedy, *Batch Normalization: Accelerating Deep Network Training by Reducing
# Internal Covariate Shift*, 2015.

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
# ## 1. 무엇을 위한 것인가
#
# 시그모이드는 0 근처에서만 가파르고 다른 곳에서는 평평합니다. 입력이 크면 기울기가 거의 통과하지
# 못합니다. 층 열 개, 표준편차 0.5로 뽑은 가중치: 시그모이드에 무엇이 도착하는지, 각 층 가중치의
# 기울기가 얼마나 되는지 보세요. (정규화하지 않은 신경망의 뾰족한 막대 하나하나는 어떤 표본이
# 들어와도 거의 같은 값을 내는 유닛입니다. 10층에 이르면 표본들을 거의 구별하지 못합니다.)


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
# ## 2. 순방향 식 네 개
#
# 특성 하나는 표본마다 하나씩 $m$개의 값 $x_i$를 가집니다. 평균을 빼고 표준편차로 나눈 다음,
# 배율과 이동은 신경망이 다시 고르게 합니다.
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
# ## 3. 역방향 식 여섯 개
#
# `mean`과 `var`는 *모든* $x_i$에 의존합니다. 그래서 값 하나는 세 가지 길로 작용합니다. 직접,
# 분산을 거쳐서, 평균을 거쳐서. 논문은 그 길을 하나씩 따라가고, 아래 코드도 그렇습니다.


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
# 맞을까요? 테이프는 배치 정규화를 전혀 모릅니다. 평균과 곱과 제곱근만 보고 스스로 기울기를
# 찾아냅니다.


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
# ## 4. 세 항
#
# 식들을 서로 대입해 봅시다. `dmean`에서 중심화한 값의 합은 0이고, `dvar`와 `dmean` 안에는
# `dgamma`와 `dbeta`가 들어 있습니다. 남는 것은
#
# $$dx_i = \gamma \cdot \text{inv\_std} \cdot \Bigl(\; g_i \;-\; \tfrac1m\, d\beta \;-\;
# \hat x_i \cdot \tfrac1m\, d\gamma \;\Bigr)$$
#
# 기울기 자체에서 *그 평균을 빼고*, *$\hat x$ 방향 성분을 뺀* 것입니다.


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
# 두 합은 모두 사라집니다(두 번째는 ε만큼의 오차로). *손실은 `x`를 옮기거나 늘려도 구별하지
# 못합니다.* 이를 그림으로 봅시다. 한 특성의 기울기를 표본 세 개의 공간 속 화살표로 그렸습니다.
# `g`가 무엇이든 화살표는 원의 접선 위에 있습니다. 평균도 길이도 움직일 수 없습니다.

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
# 이것은 테스트의 함정이기도 합니다. `y.sum()`으로 역전파를 검사하는 사람은 어디에나 `g = 1`을
# 보내는 셈이고, 정답은 0입니다. 그런데 마지막 항을 빠뜨린 아래의 틀린 식도 0을 내놓습니다.


# %%
def wrong(gamma, g, x_hat, inv_std):
    return gamma * inv_std * (g - g.mean(axis=0))


ones = np.ones_like(x)
right_dx = three_terms(gamma, ones, x_hat, inv_std)[0]
print("with g = 1:    ", np.abs(wrong(gamma, ones, x_hat, inv_std) - right_dx).max().round(12))
right_dx = three_terms(gamma, g, x_hat, inv_std)[0]
print("with g random: ", np.abs(wrong(gamma, g, x_hat, inv_std) - right_dx).max().round(3))

# %% [markdown]
# ## 5. 컴파일
#
# 위의 numpy 코드는 한 줄마다 배열 전체를 읽고 씁니다. 컴파일된 반복문은 행을 두 번만 훑고
# 나머지는 레지스터에 둡니다. minigrad 커널의 발상을 20줄로 쓰면 이렇습니다.


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
# 진짜 커널은 읽는 사람에게는 아쉽지 않지만 쓰는 사람에게는 필요한 점에서 다릅니다. 몇 개를 쓰든
# 같은 비트를 내는 여러 스레드, 이미지, 그리고 정확도입니다. 정확도에 관한 그림을 하나 더 봅시다.
# 분산은 흔히 제곱의 평균에서 평균의 제곱을 빼서 한 번에 계산합니다. float32에서는 평균이
# 커지자마자 이것이 무너집니다. minigrad는 채널의 첫 값과의 차이로 통계량을 구합니다.

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
# ## 6. 학습과 추론
#
# 학습할 때 한 표본의 출력은 같은 배치의 다른 표본들에 의존합니다. 추론을 위해 층은 평균과 분산의
# 이동 평균을 보관하고, 그러면 각 표본이 홀로 설 수 있습니다. 층은 평균 0, 분산 1에서 시작하며,
# 기본 모멘텀 0.1로는 마흔 배치쯤 지나야 제자리에 도착합니다.

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
# ## 연습 문제
#
# ### 1. 추론 모드의 역방향
#
# 추론 모드에서 통계량은 상수입니다. `dx`에서 무엇이 남을까요?
#
# <details><summary>답</summary>
#
# ```python
# def dx_in_evaluation(gamma, g, x_hat, inv_std):
#     return gamma * inv_std * g
# ```
#
# 값이 작용하는 세 길 중 둘은 통계량을 거치는데, 그 둘이 사라집니다.
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
# ### 2. 층 정규화
#
# 층 정규화(layer normalisation)는 한 *표본*의 통계량을 특성들에 걸쳐 구합니다. `gamma`가 모두
# 1이면 전치한 배열의 배치 정규화와 같습니다. 그 `dx`를 `three_terms`로 쓰세요.
#
# <details><summary>답</summary>
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
# ### 3. 쓸모없는 편향
#
# 배치 정규화 앞에서 선형 층의 편향은 아무 효과가 없습니다. 그 기울기는 얼마일까요? 숫자를 쓰고
# minigrad도 동의하는지 보세요.
#
# <details><summary>답</summary>
#
# ```python
# def gradient_of_the_bias():
#     return 0.0
# ```
#
# 편향은 한 특성의 모든 표본을 옮기므로 그 기울기는 Σ dx, 즉 사라지는 두 합 중 첫째입니다.
# `BatchNorm2d` 앞에 `Conv2d(…, bias=False)`를 두는 까닭입니다.
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
