# %% [markdown]
# # 학습시키고, 들여다보고, 망가뜨리기
#
# 작은 합성곱 신경망이 몇 초 만에 손글씨 숫자를 배웁니다. 그런 다음 신경망이 무엇으로 이루어져
# 있는지, 그래프는 어떤지, 시간은 어디에 쓰이는지, 무엇을 보는지 들여다봅니다. 끝으로 일부러 일곱
# 가지 방법으로 망가뜨리고 답을 읽습니다.

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
# ## 1. 데이터
#
# scikit-learn에 들어 있는 8 × 8 픽셀 숫자 1,797장입니다. 그중 360장은 평가용으로 떼어 둡니다.

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
# ## 2. 신경망
#
# 합성곱에는 편향이 없습니다. 뒤따르는 배치 정규화가 어차피 다시 빼 버리기 때문입니다.

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
# ## 3. 학습

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
# ## 4. 들여다보기: 그래프
#
# 손실을 계산한 연산 하나하나가 상자이고, 테두리는 층입니다. 둥근 상자는 매개변수로, 기울기가
# 모이는 곳입니다.

# %%
x, y = mg.tensor(x_train[:64]), mg.tensor(y_train[:64])
loss = F.cross_entropy(model(x), y)
mg.graph(loss, model)

# %% [markdown]
# `explore`는 이 그래프를 한 단계씩 앞으로, 다시 기울기와 함께 뒤로 넘겨 보는 페이지를 만듭니다.
# 모든 배열과 각 연산의 식, 이 노트북의 코드 줄까지 담겨 있습니다. 파일을 브라우저로 열고 화살표
# 키로 앞뒤로 움직이세요.

# %%
with mg.remember():
    loss = F.cross_entropy(model(x), y)
page = mg.explore(loss, Path(tempfile.mkdtemp()) / "digits.html", model)
print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB, one file, no network needed")

# %% [markdown]
# ## 5. 들여다보기: 시간과 메모리가 가는 곳
#
# `profile` 아래에서 한 스텝을 돌립니다. "kept"는 연산이 역전파를 위해 붙잡고 있는 메모리입니다.
# 어느 층부터 빠르게 만들면 좋을까요? (시간은 이 노트북을 실행한 컴퓨터의 것입니다.)

# %%
with mg.profile():
    F.cross_entropy(model(x), y).backward()

# %% [markdown]
# ## 6. 들여다보기: 무엇을 보는가
#
# 첫 층의 필터 열여섯 개, 그 필터들이 숫자 하나에서 만들어 낸 것, 그리고 신경망이 틀린
# 숫자들입니다.

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
# ## 7. 망가뜨리기
#
# 오류는 문서보다 더 자주 읽힙니다. 아래 셀은 저마다 누구나 한 번은 하는 실수를 합니다. 답을 읽기
# 전에 생각해 보세요. *여러분이라면* 어떤 말을 듣고 싶을까요?


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
# **크기가 맞지 않는 층.** 8 × 8을 두 번 풀링하면 2 × 2가 남으니, 값은 100개가 아니라 128개입니다.


# %%
def wrong_size():
    nn.Sequential(*model[:9], nn.Linear(100, 10))(x)


broken(wrong_size)

# %% [markdown]
# **브로드캐스팅될 뻔한 정답.** 예측이 `(64, 1)`이고 정답이 `(64,)`이면 numpy에서는 차이가 64 ·
# 64개 생기고, 손실은 줄어들지만 엉뚱한 곳으로 갑니다.


# %%
def broadcasting_targets():
    F.mse_loss(mg.randn(64, 1), mg.randn(64))


broken(broadcasting_targets)


# %% [markdown]
# **역전파를 두 번.** 두 번째에 필요한 것을 첫 번째가 이미 놓아주었습니다.


# %%
def backward_twice():
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    loss.backward()


broken(backward_twice)


# %% [markdown]
# 역전파에 아직 필요한 것을 **제자리에서 바꾸기**:


# %%
def changed_in_place():
    a = mg.randn(3, requires_grad=True)
    b = a.exp()
    c = b * b
    b += 1
    c.sum().backward()


broken(changed_in_place)

# %% [markdown]
# 학습 모드에서 **표본이 하나뿐인 배치**. 분산이 있을 수 없습니다. 시도해도 잃는 것은 없습니다.
# 이동 통계량은 이전 그대로입니다.


# %%
def one_sample():
    nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train()(mg.randn(1, 4))


broken(one_sample)


# %% [markdown]
# **NaN.** 어디선가 0의 로그가 0을 만났습니다. `detect_anomaly`는 처음으로 NaN을 만든 연산과 줄을
# 알려 줍니다.


# %%
def not_a_number():
    p = mg.tensor([0.0, 0.5, 0.5], requires_grad=True)
    with np.errstate(invalid="ignore"), mg.autograd.detect_anomaly():
        entropy = -(p * p.log()).sum()
        entropy.backward()


broken(not_a_number)

# %% [markdown]
# **그리고 아무 오류도 내지 않는 것**: 직선을 점에 맞추면서 `zero_grad`를 잊었습니다. 기울기가
# 스텝마다 더해지고, 한번 더해진 것은 잊히지 않습니다. 마찰 없는 그릇 속을 구르는 공과 같습니다.
# 아무도 말해 줄 수 없고, 곡선만이 알려 줍니다.


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
# ## 연습 문제
#
# ### 1. 매개변수 세기
#
# 2절의 신경망에는 매개변수가 몇 개 있을까요? 층의 크기로 계산해 보세요.
#
# <details><summary>답</summary>
#
# ```python
# def parameters():
#     return 16 * 1 * 9 + 2 * 16 + 32 * 16 * 9 + 2 * 32 + 128 * 10 + 10
# ```
#
# 합성곱에는 출력 · 입력 · 3 · 3개, 배치 정규화에는 채널마다 gamma와 beta가 하나씩 있습니다.
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
# ### 2. 어디를 보는가?
#
# 한 클래스 점수의 *이미지*에 대한 기울기는 어느 픽셀이 중요한지 알려 줍니다. `(1, 1, 8, 8)`
# 이미지와 클래스 `k`를 받는 `saliency(image, k)`를 작성해, 기울기의 절댓값을 `(8, 8)` 배열로
# 돌려주세요. 매개변수에는 기울기를 남기지 마세요.
#
# <details><summary>답</summary>
#
# ```python
# def saliency(image, k):
#     image = image.clone().requires_grad_()
#     (gradient,) = mg.autograd.grad(model(image)[0, k], image)
#     return gradient.abs()[0, 0].numpy()
# ```
#
# `autograd.grad`는 기울기를 돌려줄 뿐 어디에도 쓰지 않습니다.
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
# ### 3. 고치기
#
# 아래 반복문은 오류 없이 돌지만 아무것도 배우지 못합니다. 실수를 찾아서 손실이 0.5보다 작아지게
# 하세요.
#
# <details><summary>답</summary>
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
# `zero_grad`가 `backward`와 `step` 사이에 있어서, 모든 스텝이 0만큼 움직였습니다.
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
