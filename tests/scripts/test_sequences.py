"""Models of text: an LSTM that carries its state along, and a small transformer."""

from __future__ import annotations

import math
from typing import Any

import side_by_side
from side_by_side import DTYPES, STEPS, Run

TEXT = "the tape is read from the newest node to the oldest, and no path is counted twice. " * 8


def char_lstm(m: Any, run: Run) -> Any:
    """Truncated backpropagation: the state goes from batch to batch, detached."""
    nn = m.nn
    chars = sorted(set(TEXT))
    stoi = {ch: i for i, ch in enumerate(chars)}
    ids = m.LongTensor([stoi[ch] for ch in TEXT])
    batch_size, seq_length = 4, 7
    num_batches = ids.size(0) // batch_size
    ids = ids[: num_batches * batch_size].view(batch_size, -1)

    class RNNLM(nn.Module):
        def __init__(self, vocab_size: int, embed_size: int, hidden_size: int, n: int) -> None:
            super().__init__()
            self.embed = nn.Embedding(vocab_size, embed_size)
            self.lstm = nn.LSTM(embed_size, hidden_size, n, batch_first=True)
            self.linear = nn.Linear(hidden_size, vocab_size)

        def forward(self, x: Any, h: Any) -> Any:
            x = self.embed(x)
            out, (h, c) = self.lstm(x, h)
            out = out.reshape(out.size(0) * out.size(1), out.size(2))
            return self.linear(out), (h, c)

    model = RNNLM(len(chars), 8, 12, 2)
    run.start(model)
    criterion = nn.CrossEntropyLoss()
    optimizer = m.optim.Adam(model.parameters(), lr=0.01)
    states: Any = tuple(m.zeros(2, batch_size, 12).to(run.dtype) for _ in range(2))
    model.train()
    for i in range(0, STEPS * seq_length, seq_length):
        inputs = ids[:, i : i + seq_length]
        targets = ids[:, (i + 1) : (i + 1) + seq_length]
        states = [state.detach() for state in states]
        outputs, states = model(inputs, states)
        loss = criterion(outputs, targets.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        yield loss.item(), math.exp(loss.item())

    with m.no_grad():  # a greedy continuation
        token, state = ids[:1, :1], (m.zeros(2, 1, 12, dtype=run.dtype),) * 2
        for _ in range(5):
            out, state = model(token, state)
            token = m.topk(out.softmax(-1), 1)[1]
    assert token.shape == (1, 1)


def transformer(m: Any, run: Run) -> Any:
    """Causal attention written out, weight decay for matrices alone, a schedule of warm-up."""
    nn, F = m.nn, m.nn.functional
    chars = sorted(set(TEXT))
    data = m.tensor([chars.index(ch) for ch in TEXT], dtype=m.long)
    block_size, n_embd, n_head = 10, 12, 3

    class CausalSelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn = nn.Linear(n_embd, 3 * n_embd)
            self.c_proj = nn.Linear(n_embd, n_embd)
            ones = m.tril(m.ones(block_size, block_size))
            self.register_buffer("bias", ones.view(1, 1, block_size, block_size))

        def forward(self, x: Any) -> Any:
            B, T, C = x.size()
            q, k, v = self.c_attn(x).split(n_embd, dim=2)
            k = k.view(B, T, n_head, C // n_head).transpose(1, 2)
            q = q.view(B, T, n_head, C // n_head).transpose(1, 2)
            v = v.view(B, T, n_head, C // n_head).transpose(1, 2)
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
            att = F.softmax(att, dim=-1)
            y = att @ v
            return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
            self.attn = CausalSelfAttention()
            self.mlp = nn.ModuleDict(
                {
                    "c_fc": nn.Linear(n_embd, 4 * n_embd),
                    "c_proj": nn.Linear(4 * n_embd, n_embd),
                    "act": nn.GELU(approximate="tanh"),
                    "dropout": nn.Dropout(0.0),
                }
            )
            mlp = self.mlp
            self.mlpf = lambda x: mlp.dropout(mlp.c_proj(mlp.act(mlp.c_fc(x))))

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlpf(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self, vocab_size: int, n_layer: int) -> None:
            super().__init__()
            self.transformer = nn.ModuleDict(
                {
                    "wte": nn.Embedding(vocab_size, n_embd),
                    "wpe": nn.Embedding(block_size, n_embd),
                    "h": nn.ModuleList([Block() for _ in range(n_layer)]),
                    "ln_f": nn.LayerNorm(n_embd),
                }
            )
            self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
            self.apply(self._init_weights)
            for pn, p in self.named_parameters():
                if pn.endswith("c_proj.weight"):
                    m.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * n_layer))

        def _init_weights(self, module: Any) -> None:
            if isinstance(module, nn.Linear | nn.Embedding):
                m.nn.init.normal_(module.weight, mean=0.0, std=0.2)
            if isinstance(module, nn.Linear) and module.bias is not None:
                m.nn.init.zeros_(module.bias)

        def forward(self, idx: Any, targets: Any = None) -> Any:
            _, t = idx.size()
            assert t <= block_size
            pos = m.arange(0, t, dtype=m.long, device=idx.device).unsqueeze(0)
            x = self.transformer.wte(idx) + self.transformer.wpe(pos)
            for block in self.transformer.h:
                x = block(x)
            logits = self.lm_head(self.transformer.ln_f(x))
            loss = None
            if targets is not None:
                loss = F.cross_entropy(
                    logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1
                )
            return logits, loss

        @m.no_grad()
        def generate(self, idx: Any, max_new_tokens: int, top_k: int) -> Any:
            for _ in range(max_new_tokens):
                logits, _ = self(idx[:, -block_size:])
                logits = logits[:, -1, :] / 0.8
                v, _ = m.topk(logits, top_k)
                logits[logits < v[:, [-1]]] = -float("Inf")
                probs = F.softmax(logits, dim=-1)
                _, idx_next = m.topk(probs, k=1, dim=-1)
                idx = m.cat((idx, idx_next), dim=1)
            return idx

    model = GPT(len(chars), n_layer=2)
    run.start(model)
    decay = {pn for pn, p in model.named_parameters() if p.dim() >= 2 and "wte" not in pn}
    params = dict(model.named_parameters())
    groups = [
        {"params": [params[pn] for pn in sorted(decay)], "weight_decay": 0.1},
        {"params": [params[pn] for pn in sorted(params.keys() - decay)], "weight_decay": 0.0},
    ]
    optimizer = m.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95))
    schedule = m.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1.0, (i + 1) / 8))
    for _ in range(STEPS):
        ix = m.from_numpy(run.rng.integers(0, len(data) - block_size, 6))
        x = m.stack([data[i : i + block_size] for i in ix])
        y = m.stack([data[i + 1 : i + 1 + block_size] for i in ix])
        _, loss = model(x, y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        norm = m.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item(), norm.item(), schedule.get_last_lr()[0]

    model.eval()
    said = model.generate(data[None, :3], 4, top_k=3)
    assert said.shape == (1, 7) and model.training is False


@DTYPES
def test_char_lstm(dtype: str) -> None:
    side_by_side.compare(char_lstm, dtype)


@DTYPES
def test_transformer(dtype: str) -> None:
    side_by_side.compare(transformer, dtype)
