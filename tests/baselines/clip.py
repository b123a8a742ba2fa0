"""Gradient clipping by norm and by value, as torch.nn.utils does it, in float64.

By norm: one norm over all tensors; each gradient is multiplied by min(1, max_norm / (norm + 1e-6)).
By value: each entry is brought into [-value, value].
"""

import torch

from common import emit

GRADS = [
    {"name": "ordinary", "grads": [[[3.0, -4.0, 0.5], [1.0, 2.0, -0.25]], [12.0, -0.1]]},
    {"name": "small", "grads": [[[0.01, -0.02, 0.03], [0.0, 0.005, -0.015]], [0.02, 0.0]]},
    {"name": "zero", "grads": [[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [0.0, 0.0]]},
]
NORMS = [(1.0, 2.0), (0.5, 2.0), (100.0, 2.0), (2.0, 1.0), (1.5, float("inf"))]
VALUES = [1.0, 0.5, 100.0]


def parameters_with(grads):
    parameters = []
    for grad in grads:
        grad = torch.tensor(grad)
        parameters.append(torch.nn.Parameter(torch.zeros_like(grad)))
        parameters[-1].grad = grad
    return parameters


def by_norm(problem, max_norm, norm_type):
    parameters = parameters_with(problem["grads"])
    total = torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)
    return {
        "grads": problem["name"],
        "clip_val": max_norm,
        "norm_type": str(norm_type),
        "norm": total,
        "clipped": [p.grad for p in parameters],
    }


def by_value(problem, value):
    parameters = parameters_with(problem["grads"])
    torch.nn.utils.clip_grad_value_(parameters, value)
    return {"grads": problem["name"], "clip_val": value, "clipped": [p.grad for p in parameters]}


def main():
    emit(
        __doc__.strip(),
        problems=GRADS,
        by_norm=[by_norm(p, *norm) for p in GRADS for norm in NORMS],
        by_value=[by_value(p, value) for p in GRADS for value in VALUES],
    )


if __name__ == "__main__":
    main()
