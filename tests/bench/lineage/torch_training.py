"""Really trains: AdamW on a language model's loss, in transformers' own implementation. Needs torch."""

from __future__ import annotations

import numpy as np
import torch
import transformers
import transformers.initialization
from torch.nn.utils import parametrize

from tests.bench.lineage.corpus import Language
from tests.bench.lineage.shapes import Shape, Weights, config, from_names, to_names

_ROWS, _LENGTH = 8, 48
_ATTENTION = {"q_proj", "v_proj", "c_attn"}

torch.set_num_threads(1)


class TorchTrainer:
    """Training as `families` asks for it. Weights go in and come out in the plain form."""

    def initial(self, shape: Shape, seed: int) -> Weights:
        """A model as transformers initialises it, with weights whose sizes vary as trained ones do not yet."""
        torch.manual_seed(seed)
        return _weights(_model(shape), shape)

    def train(
        self,
        start: Weights,
        shape: Shape,
        *,
        language: Language,
        seed: int,
        steps: int,
        rate: float,
        teacher: Weights | None = None,
        teacher_shape: Shape | None = None,
    ) -> Weights:
        """All weights learn, from text, or from a teacher's answers to it."""
        model = _loaded(start, shape)
        guide = _loaded(teacher, teacher_shape or shape).eval() if teacher is not None else None
        _fit(model, list(model.parameters()), language, seed, steps, rate, guide)
        return _weights(model, shape)

    def train_low_rank(
        self,
        start: Weights,
        shape: Shape,
        *,
        language: Language,
        seed: int,
        steps: int,
        rate: float,
        rank: int,
    ) -> Weights:
        """LoRA on queries and values (GPT-2: the fused projection), merged into the weights afterwards."""
        model = _loaded(start, shape)
        model.requires_grad_(False)
        torch.manual_seed(seed)
        learned: list[torch.nn.Parameter] = []
        for name, module in list(model.named_modules()):
            if name.rpartition(".")[2] in _ATTENTION:
                low_rank = _LowRank(module.weight, rank)
                parametrize.register_parametrization(module, "weight", low_rank)
                learned += [low_rank.down, low_rank.up]
        _fit(model, learned, language, seed, steps, rate, None)
        for module in model.modules():
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")
        return _weights(model, shape)


class _LowRank(torch.nn.Module):
    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = torch.nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = torch.nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + 2 * self.up @ self.down


def _model(shape: Shape) -> torch.nn.Module:
    fields = config(shape)
    made = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
    made._attn_implementation = "eager"
    return transformers.AutoModelForCausalLM.from_config(made)


def _loaded(plain: Weights, shape: Shape) -> torch.nn.Module:
    with transformers.initialization.no_init_weights():
        model = _model(shape)
    named = {
        name: torch.tensor(np.ascontiguousarray(value)) for name, value in to_names(plain, shape).items()
    }
    missing, unexpected = model.load_state_dict(named, strict=False)
    left = [name for name in missing if name != "lm_head.weight" or not shape.tied]
    assert not left, left
    assert not unexpected, unexpected
    model.tie_weights()
    return model


def _weights(model: torch.nn.Module, shape: Shape) -> Weights:
    named = {
        name: value.detach().numpy().astype(np.float32).copy() for name, value in model.state_dict().items()
    }
    return from_names(named, shape)


def _fit(
    model: torch.nn.Module,
    learned: list[torch.nn.Parameter],
    language: Language,
    seed: int,
    steps: int,
    rate: float,
    teacher: torch.nn.Module | None,
) -> None:
    rng = np.random.default_rng([seed, 5])
    optimiser = torch.optim.AdamW(learned, lr=rate, weight_decay=0.01)
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
    )
    for _ in range(steps):
        tokens = torch.tensor(language.batch(rng, _ROWS, _LENGTH))
        logits = model(tokens).logits[:, :-1].flatten(0, 1)
        if teacher is None:
            loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
        else:
            with torch.no_grad():
                wanted = teacher(tokens).logits[:, :-1].flatten(0, 1)
            loss = torch.nn.functional.kl_div(
                logits.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="batchmean"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    model.last_loss = float(loss.detach())
