# %% [markdown]
# # Build the engine in seven steps
#
# Automatic differentiation is smaller than its name. We begin with a number that can be added and
# multiplied and knows its gradient, in twelve lines. Each step finds something that the last one
# cannot do, and mends it. After the seventh we walk a graph of minigrad's own with our code, and
# get its gradients, bit for bit: what we have built is `minigrad/tape.py`.
#
# You need the chain rule and a little Python. Run the cells from top to bottom; at the end there
# are three exercises that check themselves.

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
# ## Step 1: a number that remembers what it was made of
#
# If $c = a \cdot b$, a small change of $a$ changes $c$ by $b$ times as much. We note that slope
# where the product is computed, since there both factors are at hand:
#
# | | slope for `a` | slope for `b` |
# |---|---|---|
# | `a + b` | 1 | 1 |
# | `a * b` | `b` | `a` |
#
# The chain rule says: multiply the slopes along a path, add up over all paths. `backward` does just
# that, by calling itself.


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
# By hand: the gradient for $a$ is $b + 2a = 8$, for $b$ it is $a = 3$. It works, and that is all of
# the mathematics there will be. What follows is about doing it *once*, *in order*, *for arrays*,
# and *without holding on to memory*.
#
# ## Step 2: visit every value once
#
# Our `backward` goes along every *path*. Here are a few numbers, each the sum of the last one with
# itself. There are only as many values as additions, but the paths double each time:


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
# Fifty such additions would take years. The remedy: a value may pass on its gradient only when that
# is *complete*, after all values that use it. So we first put the values in an order in which every
# one comes after its inputs, and then go through it from the end.


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
# ## Step 3: the order is there already
#
# The search calls itself once for each value along a chain, and Python stops it after a thousand:

# %%
try:
    doubled(Ordered(0.0), 2 * sys.getrecursionlimit()).backward()
except RecursionError as error:
    print("RecursionError:", error)

# %% [markdown]
# But we need not search. A value can only be computed from values that *exist already*. Number them
# as they are made, and the numbers are such an order. `backward` always takes the newest value that
# waits: everything that uses it is newer and has been taken, so its gradient is complete. A heap
# hands out the newest one. This is the idea that minigrad's tape is named after.


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
# ## Step 4: a function in the slope's place, and a node that holds no numbers
#
# A slope is a number only while values are numbers. What every operation has, whatever it computes,
# is a function from the gradient of its output, `g`, to the gradients of its inputs. It is called
# *vector-Jacobian product*, or `vjp`.
#
# At the same time we take apart two things: the number, which the user holds, and the place on the
# tape, the `Node`. The node does not keep the number. What a graph keeps alive is exactly what its
# vjps name: for a sum nothing, for a product both factors.


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
# ## Step 5: arrays
#
# The walk need not change at all for arrays; only the vjps do. Matrix products and sums are new,
# and one subtle thing: where numpy *broadcasts*, one value is used several times, and several uses
# mean a sum of gradients. A bias of shape `(3,)` that was added to `(200, 3)` gets 200 gradients
# each, added up by `fit`. It is written once, and every elementwise operation uses it.


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
# That is enough for a network. Do two coordinates have the same sign? A layer of 16 hyperbolic
# tangents learns it. The same function trains any class that has these operations, so we can run it
# with our tensors and with minigrad's, from the same start:

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
# ## Step 6: memory
#
# Three rules make the difference between an engine that fits into memory and one that does not.
#
# 1. **First gradient: borrowed. Second: a sum of our own. From the third on: added in place.** Most
#    nodes get one gradient, which needs no copy; and only an array that the walk itself made may it
#    write into, since the others may be somebody's.
# 2. **A node that was passed is consumed.** Its vjp goes, and the arrays that it held. While
#    `backward` runs, memory falls.
# 3. **A leaf's gradient is written last**, after everything succeeded. A mistake in some vjp leaves
#    no half of a gradient behind.


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
# ## Step 7: trust nobody
#
# Two mistakes give wrong gradients in silence, and an engine can find both.
#
# - A vjp returns an array of a shape that is not its input's. Numpy would broadcast it, somewhere.
# - Somebody changes an array in place *after* an operation has saved it. The vjp would compute with
#   the new values. So whoever writes into memory notes the time, and the walk refuses a vjp that
#   holds an array that was changed since its node was made.


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
# ## The real tape
#
# Now the test of it all. Here is a network of minigrad, with its own layers, loss and batch
# normalisation. Its operations lie on minigrad's tape, as nodes with `time`, `parents`, `shape` and
# `vjp`: our very words. So `walk_7`, which has never heard of convolutions or normalisation, can
# walk that graph in place of minigrad's `walk`.

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
# Open `minigrad/tape.py` next to this page. You know it already:
#
# | here | there |
# |---|---|
# | `Node`, steps 3 and 4 | `class Node` |
# | the heap of step 3, the three rules of step 6 | `class Pending` |
# | `walk_7` | `walk` |
# | `used_up` and the check for changes | `gradients_of_inputs` |
# | the check of shapes | `checked` |
# | leaves are written last | `backward` |
#
# What it has besides: hooks, gradients of chosen tensors only, dtypes, and errors that name the
# operation.
#
# ## Exercises
#
# ### 1. An operation of your own
#
# Write `exp` for our tensors, with its vjp: one line each. What does the vjp have to hold?
#
# <details><summary>An answer</summary>
#
# ```python
# def exp(x):
#     y = np.exp(x.array)
#     return x.made(y, (x,), lambda g: (g * y,))
# ```
#
# The derivative of exp is exp, so the output is enough, and the input may go.
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
# ### 2. Broadcasting backwards
#
# A scale of shape `(3, 1)` multiplies an array of shape `(2, 3, 4)`, and `g` has the product's
# shape. Write the gradient of the scale without `fit`, in one line of numpy.
#
# <details><summary>An answer</summary>
#
# ```python
# def grad_of_scale(g, x):
#     return (g * x).sum(axis=(0, 2)).reshape(3, 1)
# ```
#
# Every value of the scale was used 2·4 times: sum over just those axes.
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
# ### 3. How many visits?
#
# In step 1, `backward` of `a` doubled `n` times looks at how many values? Give the formula.
#
# <details><summary>An answer</summary>
#
# ```python
# def visits_of_step_1(n):
#     return 2 ** (n + 1) - 1
# ```
#
# One at the top, two below it, then four, …: the sum of the powers of two up to 2ⁿ.
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
