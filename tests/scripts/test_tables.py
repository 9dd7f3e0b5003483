"""Small networks over numbers: Q-learning, an equation, sets, a bandit and the Titanic."""

from __future__ import annotations

import csv
import os
import random
from collections import deque, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import side_by_side
from side_by_side import DTYPES, STEPS, Run

TITANIC = Path(os.environ.get("MINIGRAD_DATA", "")) / "titanic.csv"
Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


def dqn(m: Any, run: Run) -> Any:
    """A replay memory, values gathered by action, a target network that follows slowly."""
    nn, F = m.nn, m.nn.functional

    class DQN(nn.Module):
        def __init__(self, n_observations: int, n_actions: int) -> None:
            super().__init__()
            self.layer1 = nn.Linear(n_observations, 16)
            self.layer2 = nn.Linear(16, n_actions)

        def forward(self, x: Any) -> Any:
            return self.layer2(F.relu(self.layer1(x)))

    policy_net, target_net = DQN(4, 2), DQN(4, 2)
    run.start(policy_net)
    target_net.to(run.dtype).load_state_dict(policy_net.state_dict())
    optimizer = m.optim.AdamW(policy_net.parameters(), lr=1e-2, amsgrad=True)
    memory: Any = deque(maxlen=60)
    choose = random.Random(0)
    state = run.normal(1, 4)
    for _ in range(STEPS):
        for _ in range(6):
            with m.no_grad():
                greedy = policy_net(state).max(1).indices.view(1, 1)
            explored = m.tensor([[choose.randrange(2)]], dtype=m.long)
            action = greedy if choose.random() > 0.3 else explored
            done = choose.random() < 0.2
            next_state = None if done else 0.9 * state + 0.3 * run.normal(1, 4)
            reward = m.tensor([float(action.item() == (state[0, 0] > 0))], dtype=run.dtype)
            memory.append(Transition(state, action, next_state, reward))
            state = run.normal(1, 4) if next_state is None else next_state
        batch = Transition(*zip(*choose.sample(memory, min(16, len(memory))), strict=True))
        non_final_mask = m.tensor(tuple(s is not None for s in batch.next_state), dtype=m.bool)
        non_final = m.cat([s for s in batch.next_state if s is not None])
        state_batch, action_batch = m.cat(batch.state), m.cat(batch.action)
        state_action_values = policy_net(state_batch).gather(1, action_batch)
        next_values = m.zeros(len(batch.state), dtype=run.dtype)
        with m.no_grad():
            next_values[non_final_mask] = target_net(non_final).max(1).values
        expected = (next_values * 0.9) + m.cat(batch.reward)
        loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        m.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
        optimizer.step()
        target_state, policy_state = target_net.state_dict(), policy_net.state_dict()
        for key in policy_state:
            target_state[key] = policy_state[key] * 0.05 + target_state[key] * 0.95
        target_net.load_state_dict(target_state)
        yield loss.item(), expected.mean().item()


def pinn(m: Any, run: Run) -> Any:
    """du/dt = -2u + cos t with u(0) = 1: the derivative of the network stands in the loss."""
    nn = m.nn

    class FCN(nn.Module):
        def __init__(self, n_hidden: int, n_layers: int) -> None:
            super().__init__()
            activation = nn.Tanh
            self.fcs = nn.Sequential(nn.Linear(1, n_hidden), activation())
            self.fch = nn.Sequential(
                *[
                    nn.Sequential(nn.Linear(n_hidden, n_hidden), activation())
                    for _ in range(n_layers - 1)
                ]
            )
            self.fce = nn.Linear(n_hidden, 1)

        def forward(self, x: Any) -> Any:
            return self.fce(self.fch(self.fcs(x)))

    def init_weights(layer: Any) -> None:
        if type(layer) is nn.Linear:
            nn.init.xavier_uniform_(layer.weight)
            layer.bias.data.fill_(0.01)

    model = FCN(10, 2)
    model.apply(init_weights)
    run.start(model)
    t_physics = m.linspace(0, 1, 15, dtype=run.dtype).view(-1, 1)
    t_boundary = m.tensor(0.0, dtype=run.dtype).view(-1, 1)
    optimizer = m.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = m.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)
    du_dt = m.func.grad(lambda t: model(t).sum())
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss1 = (m.squeeze(model(t_boundary)) - 1) ** 2
        residual = du_dt(t_physics) + 2 * model(t_physics) - m.cos(t_physics)
        loss2 = m.mean(residual**2)
        loss = loss1 + 0.5 * loss2
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield loss.item(), loss2.item()


def deep_sets(m: Any, run: Run) -> Any:
    """Sets of several sizes, padded by a collate_fn and masked; the sum makes order vanish."""
    nn, F = m.nn, m.nn.functional
    sizes = run.rng.integers(1, 7, 40)
    sets = [run.rng.standard_normal((n, 3)) for n in sizes]

    class Sets(m.utils.data.Dataset):
        def __len__(self) -> int:
            return len(sets)

        def __getitem__(self, i: int) -> Any:
            return run.tensor(sets[i]), float(np.abs(sets[i]).max())

    def collate(batch: Any) -> Any:
        xs, ys = zip(*batch, strict=True)
        longest = max(len(x) for x in xs)
        padded = m.stack([F.pad(x, (0, 0, 0, longest - len(x))) for x in xs])
        lengths = m.tensor([len(x) for x in xs])
        mask = m.arange(longest)[None, :] < lengths[:, None]
        return padded, mask, m.tensor(ys, dtype=run.dtype)

    class DeepSets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.phi = nn.Sequential(nn.Linear(3, 12), nn.ELU(), nn.Linear(12, 12), nn.ELU())
            self.rho = nn.Sequential(nn.Linear(24, 8), nn.PReLU(), nn.Linear(8, 1))

        def forward(self, x: Any, mask: Any) -> Any:
            h = self.phi(x)
            summed = (h * mask.unsqueeze(-1)).sum(dim=1)
            largest = h.masked_fill(~mask[..., None], float("-inf")).max(dim=1)[0]
            return self.rho(m.cat((summed, largest), -1)).squeeze(-1)

    model = DeepSets()
    run.start(model)
    loader = m.utils.data.DataLoader(Sets(), batch_size=8, shuffle=False, collate_fn=collate)
    optimizer = m.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    scheduler = m.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 3], gamma=0.3)
    for _ in range(STEPS // len(loader)):
        for x, mask, y in loader:
            loss = F.huber_loss(model(x, mask), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item(), scheduler.get_last_lr()[0]
        scheduler.step()
    with m.no_grad():
        order = m.arange(x.size(1) - 1, -1, -1)
        assert m.allclose(model(x, mask), model(x[:, order], mask[:, order]), atol=1e-5)


def reinforce(m: Any, run: Run) -> Any:
    """Actions drawn from a policy, log-probabilities times returns; a bonus for entropy."""
    nn, F = m.nn, m.nn.functional

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.affine1 = nn.Linear(3, 16)
            self.dropout = nn.Dropout(p=0.0)
            self.affine2 = nn.Linear(16, 3)
            self.saved_log_probs: list[Any] = []
            self.rewards: list[float] = []

        def forward(self, x: Any) -> Any:
            x = F.relu(self.dropout(self.affine1(x)))
            return F.softmax(self.affine2(x), dim=1)

    policy = Policy()
    run.start(policy)
    optimizer = m.optim.Adam(policy.parameters(), lr=1e-2)
    eps = np.finfo(np.float32).eps.item()
    for _ in range(STEPS):
        entropy = 0
        for _ in range(8):
            state = run.rng.standard_normal(3)
            probs = policy(m.from_numpy(state.astype(run.name)).unsqueeze(0))
            dist = m.distributions.Categorical(probs)
            drawn = np.searchsorted(np.cumsum(probs.detach().numpy()), run.rng.random())
            action = m.tensor([min(int(drawn), 2)])
            policy.saved_log_probs.append(dist.log_prob(action))
            policy.rewards.append(float(action.item() == state.argmax()))
            entropy = entropy + dist.entropy().mean()
        R, policy_loss, returns = 0.0, [], deque[Any]()
        for r in policy.rewards[::-1]:
            R = r + 0.5 * R
            returns.appendleft(R)
        scaled = m.tensor(returns, dtype=run.dtype)
        scaled = (scaled - scaled.mean()) / (scaled.std() + eps)
        for log_prob, R in zip(policy.saved_log_probs, scaled, strict=True):
            policy_loss.append(-log_prob * R)
        optimizer.zero_grad()
        loss = m.cat(policy_loss).sum() - 0.01 * entropy
        loss.backward()
        optimizer.step()
        yield loss.item(), sum(policy.rewards)
        del policy.rewards[:]
        del policy.saved_log_probs[:]


def titanic(m: Any, run: Run) -> Any:
    """A table with gaps: numbers standardised, classes embedded, two kinds of input in a batch."""
    nn = m.nn
    with TITANIC.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    age = np.array([float(row["Age"] or "nan") for row in rows])
    age[np.isnan(age)] = np.nanmedian(age)
    numbers = [age, *(np.array([float(row[k]) for row in rows]) for k in ("SibSp", "Fare"))]
    x_num = np.stack([(c - c.mean()) / c.std() for c in numbers], axis=1)
    ports = sorted({row["Embarked"] for row in rows})
    x_cat = np.array(
        [[int(r["Pclass"]) - 1, r["Sex"] == "male", ports.index(r["Embarked"])] for r in rows]
    )
    y = np.array([int(row["Survived"]) for row in rows])

    class Model(nn.Module):
        def __init__(self, embedding_size: Any, num_numerical: int, layers: Any, p: float) -> None:
            super().__init__()
            self.all_embeddings = nn.ModuleList([nn.Embedding(ni, nf) for ni, nf in embedding_size])
            self.embedding_dropout = nn.Dropout(p)
            self.batch_norm_num = nn.BatchNorm1d(num_numerical)
            all_layers: list[Any] = []
            size = sum(nf for _, nf in embedding_size) + num_numerical
            for i in layers:
                all_layers += [nn.Linear(size, i), nn.ReLU(inplace=True), nn.BatchNorm1d(i)]
                size = i
            self.layers = nn.Sequential(*all_layers, nn.Linear(size, 2))

        def forward(self, x_categorical: Any, x_numerical: Any) -> Any:
            embeddings = []
            for i, e in enumerate(self.all_embeddings):
                embeddings.append(e(x_categorical[:, i]))
            x = m.cat(embeddings, 1)
            x = self.embedding_dropout(x)
            x = m.cat([x, self.batch_norm_num(x_numerical)], 1)
            return self.layers(x)

    model = Model([(3, 2), (2, 1), (len(ports), 2)], 3, [16, 8], p=0.0)
    run.start(model)
    data = m.utils.data.TensorDataset(m.tensor(x_cat), run.tensor(x_num), m.tensor(y).flatten())
    test_size = int(len(data) * 0.2)
    train = m.utils.data.Subset(data, range(len(data) - test_size))
    loader = m.utils.data.DataLoader(train, batch_size=64, shuffle=False)
    weight = m.tensor([1.0, 1.5]).to(run.dtype)
    loss_function = nn.CrossEntropyLoss(weight=weight)
    optimizer = m.optim.Adam(model.parameters(), lr=0.005)
    step = 0
    while step < STEPS:
        for cat, num, target in loader:
            if (step := step + 1) > STEPS:
                break
            y_pred = model(cat, num)
            single_loss = loss_function(y_pred, target)
            optimizer.zero_grad()
            single_loss.backward()
            optimizer.step()
            yield single_loss.item(), (y_pred.argmax(1) == target).double().mean().item()
    model.eval()
    with m.no_grad():
        held_out = data[len(data) - test_size :]
        right = np.argmax(model(*held_out[:2]).numpy(), axis=1) == held_out[2].numpy()
    assert right.mean() > 0.7


@DTYPES
def test_dqn(dtype: str) -> None:
    side_by_side.compare(dqn, dtype)


@DTYPES
def test_pinn(dtype: str) -> None:
    side_by_side.compare(pinn, dtype)


@DTYPES
def test_deep_sets(dtype: str) -> None:
    side_by_side.compare(deep_sets, dtype)


@DTYPES
def test_reinforce(dtype: str) -> None:
    side_by_side.compare(reinforce, dtype)


@pytest.mark.skipif(not TITANIC.exists(), reason="MINIGRAD_DATA has no titanic.csv")
@DTYPES
def test_titanic(dtype: str) -> None:
    side_by_side.compare(titanic, dtype)
