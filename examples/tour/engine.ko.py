# %% [markdown]
# # 일곱 단계로 만드는 자동 미분 엔진
#
# 자동 미분은 이름만큼 거창하지 않습니다. 더하고 곱할 수 있고 자기 기울기를 아는 숫자에서
# 출발합니다. 열두 줄이면 됩니다. 단계마다 앞 단계가 하지 못하는 일을 하나 찾아서 고칩니다. 일곱째
# 단계를 마치면 우리 코드로 minigrad의 그래프를 직접 순회해서 minigrad와 비트까지 똑같은 기울기를
# 얻습니다. 우리가 만든 것이 곧 `minigrad/tape.py`입니다.
#
# 연쇄 법칙과 약간의 파이썬만 알면 됩니다. 셀을 위에서 아래로 실행하세요. 끝에는 스스로 채점하는
# 연습 문제가 세 개 있습니다.

# %%
import sys
from heapq import heappop, heappush
from itertools import count

import matplotlib.pyplot as plt
import numpy as np
from verdict import verdict

import minigrad as mg
from minigrad.tensor import node_of

# %% [markdown]
# ## 1단계: 무엇으로 만들어졌는지 기억하는 숫자
#
# $c = a \cdot b$일 때 $a$가 조금 변하면 $c$는 그 $b$배만큼 변합니다. 곱을 계산하는 순간에는 두
# 인수가 모두 있으니, 바로 그 자리에서 기울기(slope)를 적어 둡니다.
#
# | | `a`에 대한 기울기 | `b`에 대한 기울기 |
# |---|---|---|
# | `a + b` | 1 | 1 |
# | `a * b` | `b` | `a` |
#
# 연쇄 법칙에 따르면 한 경로를 따라 기울기를 곱하고, 모든 경로에 걸쳐 더하면 됩니다. `backward`는
# 자기 자신을 호출하며 정확히 그 일을 합니다.


# %%
class Value:
    """A number, its gradient, and pairs of an input and the slope with respect to it."""

    def __init__(self, data, inputs=()):
        self.data, self.inputs, self.grad = data, inputs, 0.0

    def __add__(self, other):
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Value(self.data * other.data, [(self, other.data), (other, self.data)])

    def backward(self, g=1.0):
        self.grad += g
        for value, slope in self.inputs:
            value.backward(g * slope)


def example(make):
    """The gradients of a·b + a·a at a = 3 and b = 2, by whatever `make` makes of a number."""
    a, b = make(3.0), make(2.0)
    (a * b + a * a).backward()
    return float(a.grad), float(b.grad)


example(Value)

# %% [markdown]
# 손으로 계산해 보면 $a$의 기울기는 $b + 2a = 8$, $b$의 기울기는 $a = 3$입니다. 잘 됩니다. 그리고
# 수학은 이것이 전부입니다. 이제부터는 이 일을 *한 번씩만*, *올바른 순서로*, *배열에 대해*,
# *메모리를 붙잡아 두지 않고* 하는 이야기입니다.
#
# ## 2단계: 값마다 한 번씩만
#
# 우리의 `backward`는 모든 *경로*를 따라갑니다. 아래 숫자들은 각각 바로 앞 숫자를 자기 자신과 더한
# 것입니다. 값은 덧셈 횟수만큼만 있지만, 경로는 매번 두 배로 늘어납니다.


# %%
def doubled(a, times):
    for _ in range(times):
        a = a + a
    return a


def visits(cls, times):
    """How many steps `backward` takes: we count the calls that read `inputs`."""
    seen = 0

    class Counted(cls):
        @property
        def inputs(self):
            nonlocal seen
            seen += 1
            return self._inputs

        @inputs.setter
        def inputs(self, pairs):
            self._inputs = [(v, s) for v, s in pairs]

    a = Counted(1.0)
    top = a
    for _ in range(times):
        top = Counted(2 * top.data, [(top, 1.0), (top, 1.0)])
    top.backward()
    assert a.grad == 2**times
    return seen


[visits(Value, n) for n in (1, 2, 4, 8, 16)]

# %% [markdown]
# 이런 덧셈이 쉰 번이면 몇 년이 걸립니다. 해결책: 값은 자기 기울기가 *완성된* 뒤에만, 즉 자신을
# 사용하는 모든 값이 끝난 뒤에만 기울기를 넘겨야 합니다. 그래서 먼저 모든 값이 자기 입력보다 뒤에
# 오는 순서를 만들고, 그 순서를 끝에서부터 거슬러 갑니다.


# %%
class Ordered(Value):
    """Step 2: every value once, in an order that is searched for."""

    def __add__(self, other):
        return Ordered(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Ordered(self.data * other.data, [(self, other.data), (other, self.data)])

    def backward(self):
        order, seen = [], set()

        def visit(value):
            if value not in seen:
                seen.add(value)
                for other, _ in value.inputs:
                    visit(other)
                order.append(value)

        visit(self)
        self.grad = 1.0
        for value in reversed(order):
            for other, slope in value.inputs:
                other.grad += value.grad * slope


assert example(Ordered) == example(Value)
times = range(1, 15)
plt.figure(figsize=(6, 3))
plt.semilogy(times, [visits(Value, n) for n in times], "o-", label="step 1: along every path")
plt.semilogy(times, [visits(Ordered, n) for n in times], "o-", label="step 2: every value once")
plt.xlabel("additions")
plt.ylabel("values visited")
plt.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 3단계: 순서는 이미 있다
#
# 이 탐색은 사슬을 따라 값 하나마다 자기 자신을 호출하므로, 천 번쯤에서 파이썬이 멈춰 세웁니다.

# %%
try:
    doubled(Ordered(0.0), 2 * sys.getrecursionlimit()).backward()
except RecursionError as error:
    print("RecursionError:", error)

# %% [markdown]
# 그런데 탐색할 필요가 없습니다. 값은 *이미 있는* 값들로만 계산할 수 있습니다. 만들어질 때마다
# 번호를 매기면 그 번호가 바로 우리가 찾던 순서입니다. `backward`는 기다리는 값 중에서 항상 가장
# 새로운 것을 꺼냅니다. 그것을 사용하는 값은 모두 더 새롭고 이미 꺼냈으므로, 기울기가 완성되어
# 있습니다. 가장 새로운 값은 힙이 꺼내 줍니다. minigrad의 테이프(tape)라는 이름이 바로 이 생각에서
# 왔습니다.


# %%
clock = count(1)


class Numbered(Value):
    """Step 3: the time of its making is a value's place in the order."""

    def __init__(self, data, inputs=()):
        super().__init__(data, inputs)
        self.time = next(clock)

    def __lt__(self, other):
        return self.time > other.time  # so that a heap hands out the newest

    def __add__(self, other):
        return Numbered(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Numbered(self.data * other.data, [(self, other.data), (other, self.data)])

    def backward(self):
        waiting, self.grad = [self], 1.0
        known = {self}
        while waiting:
            value = heappop(waiting)
            for other, slope in value.inputs:
                if other not in known:
                    known.add(other)
                    heappush(waiting, other)
                other.grad += value.grad * slope


assert example(Numbered) == example(Ordered)
one = Numbered(1.0)
total = one
for _ in range(100_000):
    total = total + one
total.backward()
print(one.grad)

# %% [markdown]
# ## 4단계: 기울기 대신 함수, 그리고 숫자를 담지 않는 노드
#
# 기울기가 숫자인 것은 값이 숫자일 때뿐입니다. 무엇을 계산하는 연산이든 반드시 갖고 있는 것은,
# 출력의 기울기 `g`에서 입력들의 기울기로 가는 함수입니다. 이를 *벡터-야코비 곱*(vector-Jacobian
# product), 줄여서 `vjp`라고 부릅니다.
#
# 동시에 두 가지를 분리합니다. 사용자가 들고 있는 숫자와, 테이프 위의 자리인 `Node`입니다. 노드는
# 숫자를 담지 않습니다. 그래프가 메모리에 붙잡아 두는 것은 정확히 vjp가 언급하는 것뿐입니다.
# 덧셈은 아무것도, 곱셈은 두 인수를 붙잡습니다.


# %%
class Node:
    """Step 4: a place on the tape. It knows its time, the nodes it came from, and its vjp."""

    def __init__(self, parents=(), vjp=None):
        self.time, self.parents, self.vjp, self.grad = next(clock), parents, vjp, 0.0

    def __lt__(self, other):
        return self.time > other.time


class Scalar:
    """What the user holds: a number, and its node."""

    def __init__(self, data, node=None):
        self.data, self.node = data, node or Node()

    @property
    def grad(self):
        return self.node.grad

    def __add__(self, other):
        return Scalar(self.data + other.data, Node((self.node, other.node), lambda g: (g, g)))

    def __mul__(self, other):
        a, b = self.data, other.data
        return Scalar(a * b, Node((self.node, other.node), lambda g: (g * b, g * a)))

    def backward(self):
        found = walk_4(self.node, 1.0)
        for node, g in found.items():
            if node.vjp is None:  # a leaf, which no operation made
                node.grad += g


def walk_4(root, g):
    """From the gradient of `root` to those of all nodes below it, the newest first."""
    grads, waiting = {root: g}, [root]
    while waiting:
        node = heappop(waiting)
        if node.vjp is None:
            continue
        for parent, part in zip(node.parents, node.vjp(grads[node]), strict=True):
            if parent not in grads:
                grads[parent] = part
                heappush(waiting, parent)
            else:
                grads[parent] = grads[parent] + part
    return grads


assert example(Scalar) == example(Numbered)
product = Scalar(3.0) * Scalar(2.0)
held = [cell.cell_contents for cell in product.node.vjp.__closure__]
print("the vjp of a product holds", held)
print("the vjp of a sum holds", (product + product).node.vjp.__closure__)

# %% [markdown]
# ## 5단계: 배열
#
# 배열을 다루기 위해 순회를 바꿀 필요는 전혀 없습니다. vjp만 바뀝니다. 행렬 곱과 합이 새로 나오고,
# 까다로운 점이 하나 있습니다. numpy가 *브로드캐스팅*을 하면 값 하나가 여러 번 쓰이고, 여러 번
# 쓰였다는 것은 기울기를 더해야 한다는 뜻입니다. `(200, 3)`에 더한 `(3,)` 모양의 편향은 원소마다
# 기울기를 200개씩 받고, `fit`이 그것을 더합니다. `fit`은 한 번만 작성하고, 원소별 연산이 모두
# 함께 씁니다.


# %%
def fit(g, shape):
    """Sum over the axes that broadcasting added or stretched."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 != g.shape[i])
    return g.sum(axis=stretched, keepdims=True)


class Tensor:
    """Step 5: an array and its node. `walk` is the one thing that the last steps will replace."""

    walk = staticmethod(walk_4)

    def __init__(self, array, node=None):
        self.array, self.node = np.asarray(array), node or Node()

    @property
    def grad(self):
        return self.node.grad

    def made(self, array, parents, vjp):
        return type(self)(array, Node(tuple(p.node for p in parents), vjp))

    def __add__(self, other):
        s, t = self.array.shape, other.array.shape
        out = self.array + other.array
        return self.made(out, (self, other), lambda g: (fit(g, s), fit(g, t)))

    def __mul__(self, other):
        a, b = self.array, other.array
        vjp = lambda g: (fit(g * b, a.shape), fit(g * a, b.shape))  # noqa: E731
        return self.made(a * b, (self, other), vjp)

    def __matmul__(self, other):
        a, b = self.array, other.array
        return self.made(a @ b, (self, other), lambda g: (g @ b.T, a.T @ g))

    def tanh(self):
        y = np.tanh(self.array)
        return self.made(y, (self,), lambda g: (g * (1 - y * y),))

    def sum(self):
        shape = self.array.shape
        return self.made(self.array.sum(), (self,), lambda g: (np.broadcast_to(g, shape),))

    def backward(self):
        for node, g in self.walk(self.node, np.ones_like(self.array)).items():
            if node.vjp is None:
                node.grad = node.grad + g


assert example(Tensor) == example(Scalar)

# %% [markdown]
# 이것으로 신경망을 만들기에 충분합니다. 두 좌표의 부호가 같은가? 쌍곡탄젠트 16개짜리 층 하나가
# 이것을 배웁니다. 같은 함수로 이 연산들을 가진 어떤 클래스든 학습시킬 수 있으므로, 같은
# 초깃값에서 우리 텐서와 minigrad의 텐서를 나란히 돌려 봅니다.

# %%
rng = np.random.default_rng(0)
points = rng.standard_normal((200, 2))
targets = np.sign(points[:, :1] * points[:, 1:])
start = [rng.standard_normal(s) for s in ((2, 16), (16,), (16, 1), (1,))]


def train(make, steps=200, rate=0.1):
    """The losses of `steps` steps of gradient descent, and the parameters at the end."""
    arrays, losses = [a.copy() for a in start], []
    for _ in range(steps):
        w, b, v, c = (make(a) for a in arrays)
        error = (make(points) @ w + b).tanh() @ v + c + make(-targets)
        loss = (error * error).sum() * make(np.array(1 / 200))
        loss.backward()
        losses.append(float(loss.array))
        for a, p in zip(arrays, (w, b, v, c), strict=True):
            a -= rate * np.asarray(p.grad)
    return losses, arrays


def minigrads(array):
    return mg.tensor(array, requires_grad=True)


ours, learnt = train(Tensor)
theirs, _ = train(minigrads)
print(f"the losses agree to {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.0e}")

grid = np.linspace(-2.5, 2.5, 80)
w, b, v, c = learnt
plane = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
answer = (np.tanh(plane @ w + b) @ v + c).reshape(80, 80)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.semilogy(ours, lw=4, alpha=0.4, label="our tensors, step 5")
left.semilogy(theirs, "k--", lw=1, label="minigrad")
left.set(xlabel="step", ylabel="mean squared error")
left.legend(frameon=False)
right.contourf(grid, grid, answer, levels=np.linspace(-2, 2, 17), cmap="RdBu", extend="both")
right.scatter(*points.T, c=targets, cmap="RdBu", s=12, edgecolors="white", linewidths=0.4)
right.set(title="what it has learnt", aspect="equal", xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))
plt.show()

# %% [markdown]
# ## 6단계: 메모리
#
# 규칙 세 가지가 메모리에 들어가는 엔진과 그렇지 않은 엔진을 가릅니다.
#
# 1. **첫 번째 기울기는 빌리고, 두 번째에는 우리의 합을 새로 만들고, 세 번째부터는 그 자리에
#    더한다.** 대부분의 노드는 기울기를 하나만 받으므로 복사가 필요 없습니다. 그리고 순회는 자신이
#    직접 만든 배열에만 쓸 수 있습니다. 다른 배열은 누군가의 것일 수 있기 때문입니다.
# 2. **지나온 노드는 소모된다.** vjp와 그것이 붙잡던 배열이 사라집니다. `backward`가 진행되는 동안
#    메모리가 줄어듭니다.
# 3. **잎의 기울기는 마지막에 쓴다.** 모든 것이 성공한 뒤입니다. 어떤 vjp에 실수가 있어도 반쪽짜리
#    기울기가 남지 않습니다.


# %%
def used_up(g):
    raise RuntimeError("backward a second time, but the first time freed what it needs")


def walk_6(root, g):
    grads, owned, waiting, found = {root: g}, set(), [root], {}
    while waiting:
        node = heappop(waiting)
        g = grads.pop(node)
        if node.vjp is None:
            found[node] = g
            continue
        for parent, part in zip(node.parents, node.vjp(g), strict=True):
            if parent not in grads:
                grads[parent] = part
                heappush(waiting, parent)
            elif parent in owned:
                grads[parent] += part
            else:
                grads[parent] = np.asarray(grads[parent] + part)
                owned.add(parent)
        node.vjp, node.parents = used_up, ()
    return found


class Tensor6(Tensor):
    walk = staticmethod(walk_6)


assert example(Tensor6) == example(Tensor)
assert train(Tensor6, 20)[0] == train(Tensor, 20)[0]

x = Tensor6(np.ones(3))
loss = (x * x).sum()
loss.backward()
try:
    loss.backward()
except RuntimeError as error:
    print("RuntimeError:", error)
print("and the gradient is still that of the first time:", x.grad)

# %% [markdown]
# ## 7단계: 아무도 믿지 말 것
#
# 두 가지 실수가 소리 없이 잘못된 기울기를 만들며, 엔진은 둘 다 찾아낼 수 있습니다.
#
# - vjp가 입력과 다른 모양의 배열을 돌려준다. numpy라면 어디선가 브로드캐스팅해 버릴 것입니다.
# - 연산이 배열을 저장한 *뒤에* 누군가 그 배열을 제자리에서 바꾼다. vjp는 바뀐 값으로 계산하게
#   됩니다. 그래서 메모리에 쓰는 쪽은 시각을 기록하고, 순회는 노드가 만들어진 뒤에 바뀐 배열을
#   붙잡고 있는 vjp를 거부합니다.


# %%
changed = {}  # when an array was last written into, by its identity


def note_change(array):
    changed[id(array)] = next(clock)


def walk_7(root, g):
    grads, owned, waiting, found = {root: g}, set(), [(-root.time, root)], {}
    while waiting:
        _, node = heappop(waiting)
        g = grads.pop(node)
        if node.vjp is None:
            found[node] = g
            continue
        for cell in node.vjp.__closure__ or ():
            if changed.get(id(cell.cell_contents), 0) > node.time:
                raise RuntimeError("backward needs an array that was changed in place")
        parts = node.vjp(g)
        parts = parts if isinstance(parts, tuple | list) else (parts,)
        for parent, part in zip(node.parents, parts, strict=True):
            if parent is None or part is None:  # an input that needs no gradient
                continue
            expected = getattr(parent, "shape", part.shape)
            if part.shape != expected:
                raise RuntimeError(f"a vjp returned shape {part.shape} for {expected}")
            if parent not in grads:
                grads[parent] = part
                heappush(waiting, (-parent.time, parent))
            elif parent in owned:
                grads[parent] += part
            else:
                grads[parent] = np.asarray(grads[parent] + part)
                owned.add(parent)
        node.vjp, node.parents = used_up, ()
    return found


class Tensor7(Tensor):
    walk = staticmethod(walk_7)

    def __init__(self, array, node=None):
        super().__init__(array, node)
        self.node.shape = self.array.shape


assert example(Tensor7) == example(Tensor6)
assert train(Tensor7, 20)[0] == train(Tensor6, 20)[0]

x = Tensor7(np.ones(3))
loss = (x * x).sum()
x.array[:] = 5.0
note_change(x.array)
try:
    loss.backward()
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# ## 진짜 테이프
#
# 이제 마지막 시험입니다. 아래는 자체 층과 손실 함수, 배치 정규화를 갖춘 minigrad의 신경망입니다.
# 그 연산들은 minigrad의 테이프 위에 `time`, `parents`, `shape`, `vjp`를 가진 노드로 놓여
# 있습니다. 우리가 쓴 말 그대로입니다. 그래서 배치 정규화라는 말을 들어 본 적도 없는 `walk_7`이
# minigrad의 `walk` 대신 그 그래프를 순회할 수 있습니다.

# %%
mg.manual_seed(0)
nn, F = mg.nn, mg.nn.functional
model = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
inputs = mg.from_numpy(points).float()
labels = mg.from_numpy(targets > 0).float()


def fresh_loss():
    return F.binary_cross_entropy_with_logits(model(inputs), labels)


mg.graph(fresh_loss(), model)

# %%
loss = fresh_loss()
found = walk_7(node_of(loss), np.ones_like(loss.array))
fresh_loss().backward()
for name, parameter in model.named_parameters():
    same = np.array_equal(found[node_of(parameter)], parameter.grad.numpy())
    print(f"{name:10} {parameter.shape!s:18} the same bits: {same}")
    assert same

# %% [markdown]
# `minigrad/tape.py`를 이 페이지 옆에 열어 보세요. 이미 다 아는 내용입니다.
#
# | 여기 | 저기 |
# |---|---|
# | 3, 4단계의 `Node` | `class Node` |
# | 3단계의 힙, 6단계의 세 규칙 | `class Pending` |
# | `walk_7` | `walk` |
# | `used_up`과 변경 검사 | `gradients_of_inputs` |
# | 모양 검사 | `checked` |
# | 잎은 마지막에 쓴다 | `backward` |
#
# 그 밖에 더 있는 것은 훅(hook), 고른 텐서만의 기울기, dtype, 그리고 연산의 이름을 알려 주는
# 오류입니다.
#
# ## 연습 문제
#
# ### 1. 나만의 연산
#
# 우리 텐서를 위한 `exp`와 그 vjp를 작성하세요. 각각 한 줄이면 됩니다. vjp는 무엇을 붙잡고 있어야
# 할까요?
#
# <details><summary>답</summary>
#
# ```python
# def exp(x):
#     y = np.exp(x.array)
#     return x.made(y, (x,), lambda g: (g * y,))
# ```
#
# exp의 도함수는 exp이므로 출력만 있으면 되고, 입력은 놓아주어도 됩니다.
# </details>


# %%
def exp(x):
    raise NotImplementedError  # your turn


# %%
def check_exp():
    x, there = Tensor7(np.array([0.0, 1.0, -2.0])), minigrads(np.array([0.0, 1.0, -2.0]))
    weights = np.array([1.0, 2.0, 3.0])
    (exp(x) * Tensor7(weights)).sum().backward()
    (there.exp() * mg.tensor(weights)).sum().backward()
    assert np.allclose(x.grad, there.grad.numpy(), rtol=1e-12), f"the gradient is {x.grad}"


print(verdict(check_exp))

# %% [markdown]
# ### 2. 브로드캐스팅의 역방향
#
# `(3, 1)` 모양의 배율을 `(2, 3, 4)` 모양의 배열에 곱했고, `g`는 곱의 모양을 가집니다. 배율의
# 기울기를 `fit` 없이 numpy 한 줄로 쓰세요.
#
# <details><summary>답</summary>
#
# ```python
# def grad_of_scale(g, x):
#     return (g * x).sum(axis=(0, 2)).reshape(3, 1)
# ```
#
# 배율의 값 하나는 2·4번씩 쓰였습니다. 바로 그 축들에 대해 더하면 됩니다.
# </details>


# %%
def grad_of_scale(g, x):
    raise NotImplementedError  # your turn


# %%
def check_grad_of_scale():
    rng = np.random.default_rng(1)
    g, x = rng.standard_normal((2, 2, 3, 4))
    expected = fit(g * x, (3, 1))
    found = grad_of_scale(g, x)
    assert found.shape == (3, 1), f"the shape is {found.shape}"
    assert np.allclose(found, expected, rtol=1e-12), "the numbers differ from fit's"


print(verdict(check_grad_of_scale))

# %% [markdown]
# ### 3. 몇 번이나 방문할까?
#
# 1단계에서 `a`를 `n`번 두 배로 만든 값의 `backward`는 값을 몇 번 들여다볼까요? 식을 쓰세요.
#
# <details><summary>답</summary>
#
# ```python
# def visits_of_step_1(n):
#     return 2 ** (n + 1) - 1
# ```
#
# 맨 위에 하나, 그 아래 둘, 그다음 넷, …: 2ⁿ까지 2의 거듭제곱을 모두 더한 것입니다.
# </details>


# %%
def visits_of_step_1(n):
    raise NotImplementedError  # your turn


# %%
def check_visits():
    for n in (1, 5, 10):
        found, expected = visits_of_step_1(n), visits(Value, n)
        assert found == expected, f"for n = {n} you say {found}, counted were {expected}"


print(verdict(check_visits))
