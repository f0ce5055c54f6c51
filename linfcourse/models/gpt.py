"""A small GPT-2, readable from top to bottom: attention, block, model.

Attention is written out (two matrix products and a softmax) and not called from a fused kernel,
because the fused kernels have no second derivative and this course differentiates twice.

Letters in the shape comments: B sequences in a batch, T tokens in a sequence, C the width,
nh heads of hs = C / nh numbers each, V the size of the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linfcourse.models.losses import cross_entropy


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT, checked when made.

    Args:
        vocab_size: number V of different tokens.
        context: longest sequence T that the model can read (it learns one vector per position).
        n_layer: number L of blocks.
        n_head: heads of each attention; divides ``width``.
        width: numbers C that describe one token.
        bias: whether linear layers and LayerNorms have biases (GPT-2 does, we do not).
        dropout: probability with which an activation is zeroed in training, in [0, 1).
        tie_weights: use the token embedding also as the output layer.
        norm_first: normalise what each layer reads, as GPT-2 does (Pre-LN), and the final result.
            False normalises the sum after each layer, as the first transformers did (Post-LN).

    Raises:
        TypeError, ValueError: a size that is not a positive integer, or that does not fit.

    >>> GPTConfig(vocab_size=84).width
    64
    """

    vocab_size: int
    context: int = 64
    n_layer: int = 2
    n_head: int = 4
    width: int = 64
    bias: bool = False
    dropout: float = 0.0
    tie_weights: bool = True
    norm_first: bool = True

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "n_layer", "n_head", "width"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int):
                raise TypeError(f"{name} must be an integer, got {size!r}")
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        for name in ("bias", "tie_weights", "norm_first"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.width % self.n_head:
            raise ValueError(
                f"width must be a multiple of n_head so that the heads are of one size, "
                f"got width={self.width} and n_head={self.n_head}"
            )
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float):
            raise TypeError(f"dropout must be a number, got {self.dropout!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")

    @classmethod
    def gpt2(cls) -> GPTConfig:
        """The 124-million-parameter GPT-2, vocabulary padded to a multiple of 64, no biases."""
        return cls(vocab_size=50304, context=1024, n_layer=12, n_head=12, width=768)


class CausalSelfAttention(nn.Module):
    """Every token takes a weighted mean of the values of the tokens up to itself.

    softmax(Q Kᵀ / √hs + mask) V in each head, with Q, K, V from one fused linear layer.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.bias)
        self.proj = nn.Linear(config.width, config.width, bias=config.bias)
        # Added to the scores before the softmax: -inf wherever a token would look at a later one.
        mask = torch.full((config.context, config.context), -math.inf).triu(diagonal=1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        hs = C // self.n_head
        qkv = self.qkv(x).view(B, T, 3, self.n_head, hs)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, nh, T, hs)
        # Scaling q and not the scores touches T/hs times fewer numbers.
        scores = (q / math.sqrt(hs)) @ k.transpose(-2, -1) + self.mask[:T, :T]  # (B, nh, T, T)
        weights = scores.softmax(dim=-1)
        weights = F.dropout(weights, self.dropout, self.training)
        y = (weights.to(v.dtype) @ v).transpose(1, 2).reshape(B, T, C)  # heads side by side again
        return F.dropout(self.proj(y), self.dropout, self.training)

    def adam_mini_blocks(self) -> dict[Tensor, Tensor]:
        """Which entries of the fused layer share one second moment in Adam-mini.

        Rows of Q and of K by head, rows of V one by one: the heads are what the Hessian of an
        attention layer is block-diagonal in (arXiv 2406.16793). Adam-mini itself keeps Q, K and V
        in three tensors; here they are thirds of one, so the rule for a plain linear layer
        would be wrong.

        Returns:
            {parameter: int64 ids of its shape}, ids counting from 0 in each parameter.

        >>> config = GPTConfig(vocab_size=5, width=4, n_head=2)
        >>> attention = CausalSelfAttention(config)
        >>> attention.adam_mini_blocks()[attention.qkv.weight][:, 0]
        tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7])
        """
        C = self.qkv.in_features
        heads = torch.arange(2 * self.n_head).repeat_interleave(C // self.n_head)  # Q's, then K's
        rows = torch.cat([heads, 2 * self.n_head + torch.arange(C)])  # (3C,)
        weight = self.qkv.weight
        blocks = {weight: rows[:, None].expand(weight.shape).contiguous().to(weight.device)}
        if self.qkv.bias is not None:
            blocks[self.qkv.bias] = rows.to(self.qkv.bias.device)
        return blocks


class MLP(nn.Module):
    """Two linear layers with a GELU between them, applied to each token alone."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.up = nn.Linear(config.width, 4 * config.width, bias=config.bias)
        self.proj = nn.Linear(4 * config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(F.gelu(self.up(x)))  # (B, T, C) -> (B, T, 4C) -> (B, T, C)
        return F.dropout(x, self.dropout, self.training)


class Block(nn.Module):
    """Attention, then the MLP; each reads a normalised copy and adds to the residual stream.

    With Post-LN each reads the residual stream itself, which is normalised after the addition.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.norm1 = nn.LayerNorm(config.width, bias=config.bias)
        self.attention = CausalSelfAttention(config)
        self.norm2 = nn.LayerNorm(config.width, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_first:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


class GPT(nn.Module):
    """A decoder-only transformer: tokens in, a score for every possible next token out.

    Initialised like GPT-2: normal with standard deviation 0.02, divided by √(2L) in the 2L layers
    that write to the residual stream, so that its variance does not grow with depth; biases 0.
    The numbers come from torch's global generator: call ``torch.manual_seed`` first.

    Args:
        config: the sizes, see :class:`GPTConfig`.

    >>> _ = torch.manual_seed(0)
    >>> model = GPT(GPTConfig(vocab_size=84, context=16, width=32))
    >>> idx = torch.randint(84, (2, 16))
    >>> model(idx).shape
    torch.Size([2, 16, 84])
    >>> round(model.loss(idx, idx.roll(-1, dims=1)).item(), 1)  # log 84 = 4.4: it knows nothing
    4.4
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if not isinstance(config, GPTConfig):
            raise TypeError(f"config must be a GPTConfig, got {type(config).__name__}")
        self.config = config
        self.token = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = (
            nn.LayerNorm(config.width, bias=config.bias) if config.norm_first else nn.Identity()
        )
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tie_weights:
            self.head.weight = self.token.weight
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif name.endswith("proj.weight"):
                parameter.normal_(std=0.02 / math.sqrt(2 * self.config.n_layer))
            elif parameter.dim() == 2:
                parameter.normal_(std=0.02)
            # what is left are the LayerNorms' weights, which start at 1

    def forward(self, idx: Tensor) -> Tensor:
        """Scores of the next token at every place.

        Args:
            idx: (B, T) int64 or int32 tokens, T at most ``config.context``.

        Returns:
            (B, T, V) logits: ``softmax(logits[b, t])`` are the probabilities of token t + 1.

        Raises:
            TypeError, ValueError: idx is not such a tensor.
        """
        x = self.embed(idx)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))  # (B, T, V)

    def embed(self, idx: Tensor) -> Tensor:
        """What the first block reads: a vector for each token, plus one for its position.

        Args, Raises: as for :meth:`forward`.

        Returns:
            (B, T, C).
        """
        self._check_tokens(idx)
        T = idx.shape[1]
        if T > self.config.context:
            raise ValueError(
                f"idx holds {T} tokens a sequence, more than the context of {self.config.context}: "
                f"pass the last {self.config.context}, or make a GPT with a longer context"
            )
        x = self.token(idx) + self.position.weight[:T]  # (B, T, C)
        return F.dropout(x, self.config.dropout, self.training)

    def loss(self, idx: Tensor, targets: Tensor) -> Tensor:
        """Mean negative log-probability of the targets, in nats per token.

        Args:
            idx: (B, T) tokens.
            targets: (B, T) int64 tokens, each the one that follows in the text; -100 is ignored.

        Returns:
            A scalar that can be differentiated twice.
        """
        return cross_entropy(self, (idx, targets))

    @torch.no_grad()
    def generate(
        self,
        idx: Tensor,
        tokens: int,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Continue each sequence by drawing one token after the other.

        Args:
            idx: (B, T) tokens to start from, T >= 1; only the last ``context`` are read.
            tokens: how many to add.
            temperature: the logits are divided by it; 0 always takes the likeliest token.
            generator: source of the draws, on the model's device (default: torch's global one).

        Returns:
            (B, T + tokens) tokens, the given ones first.
        """
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
            raise ValueError(f"tokens must be an integer >= 0, got {tokens!r}")
        if not (0.0 <= temperature < math.inf):
            raise ValueError(f"temperature must be a finite number >= 0, got {temperature!r}")
        self._check_tokens(idx)
        was_training = self.training
        self.eval()
        try:
            for _ in range(tokens):
                logits = self(idx[:, -self.config.context :])[:, -1].float()  # (B, V)
                if temperature == 0.0:
                    following = logits.argmax(dim=-1, keepdim=True)
                else:
                    probabilities = (logits / temperature).softmax(dim=-1)
                    following = torch.multinomial(probabilities, 1, generator=generator)
                idx = torch.cat([idx, following.to(idx.dtype)], dim=1)  # (B, T + 1)
        finally:
            self.train(was_training)
        return idx

    @staticmethod
    def _check_tokens(idx: Tensor) -> None:
        if not isinstance(idx, Tensor) or idx.dtype not in (torch.int64, torch.int32):
            got = idx.dtype if isinstance(idx, Tensor) else type(idx).__name__
            raise TypeError(f"idx must be an int64 tensor of tokens (try .long()), got {got}")
        if idx.dim() != 2 or idx.shape[1] < 1:
            raise ValueError(f"idx must have shape (B, T) with T >= 1, got {tuple(idx.shape)}")
