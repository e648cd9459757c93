"""What an optimizer does in a step, by torch's fused and foreach functions, without torch's work around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def _undecorated(name: str) -> Any:
    """The method of torch.optim.Optimizer without its decorator, which imports torch's compiler at the first call."""
    method = getattr(torch.optim.Optimizer, name)
    return getattr(method, "__wrapped__", method)


class AdamW(torch.optim.AdamW):
    """Plain code: torch.optim.AdamW, bit for bit. Gains nothing in a step, but seconds at a worker's start: torch's
    compiler is not imported, which takes as long as torch itself."""

    add_param_group = _undecorated("add_param_group")
    load_state_dict = _undecorated("load_state_dict")
    state_dict = _undecorated("state_dict")
    zero_grad = _undecorated("zero_grad")


class CPUAdamW(AdamW):
    """Plain code: torch.optim.AdamW(fused=True) with all parameters on the CPU, bit for bit.

    torch's own step does work for its compiler and its profiler that takes as long as the kernel. Gain of a whole step
    on one thread (benchmarks/kernels.py): 1.08 to 1.14 times at width 16, 1.0 from width 96.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not all(weight in self.state for weight in weights):
                self._init_group(group, *([] for _ in range(6)))  # type: ignore[no-untyped-call]
            states = [self.state[weight] for weight in weights]
            means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
            fused_adamw([weights, [weight.grad for weight in weights], means, squares, [], steps], group)

    step.hooked = True  # type: ignore[attr-defined]  # else torch wraps it for its profiler

    def zero_grad(self, set_to_none: bool = True) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None


def fused_adamw(lists: Sequence[list[Tensor]], group: Mapping[str, Any]) -> None:
    """One update in place. Plain code: the step of torch.optim.AdamW(fused=True), whose kernel this is.

    Parameters
    ----------
    lists : parameters, gradients, first moments, second moments, an empty list, and counts of updates
    group : lr, betas, weight_decay and eps, as in a group of an optimizer
    """
    if not lists[0]:  # no parameter of the group has a gradient
        return
    torch._foreach_add_(lists[-1], 1)
    torch._fused_adamw_(
        *lists,
        amsgrad=False,
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


def set_to_zero(tensors: list[Tensor]) -> None:
    """Plain code: `tensor.zero_()` for each; on a GPU one launch instead of one for each tensor."""
    torch._foreach_zero_(tensors)
