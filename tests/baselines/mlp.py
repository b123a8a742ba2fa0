"""A 4-3-2 net with fixed weights: forward pass, loss, gradients; parameter counts; initial values.

Float64. Layer k computes activation(x W_k^T + b_k), the last one no activation; the loss is the
mean cross-entropy. `seeded` holds the float32 values that torch.nn.Linear draws after
torch.manual_seed: uniform in +-1 / sqrt(in_features) for weight and bias, the weight first, layer
after layer.
"""

import torch
import torch.nn.functional as F

from common import emit

X = [
    [0.5, -1.0, 2.0, 0.1],
    [1.5, 0.3, -0.7, 0.0],
    [-0.2, 0.8, 0.4, -1.1],
    [2.2, -0.5, 0.6, 0.9],
    [-1.3, -0.4, 0.0, 1.7],
]
Y = [0, 1, 1, 0, 1]
LAYERS = [
    {
        "weight": [[0.2, -0.1, 0.4, 0.3], [-0.5, 0.6, 0.1, 0.25], [0.15, -0.35, 0.25, -0.45]],
        "bias": [0.1, -0.2, 0.05],
    },
    {"weight": [[0.7, -0.3, 0.2], [-0.4, 0.9, 0.55]], "bias": [0.02, -0.03]},
]
ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "identity": lambda x: x,
}
LEARNING_RATE = 0.5


def case(name, activation):
    parameters = [
        torch.tensor(layer[kind], requires_grad=True)
        for layer in LAYERS
        for kind in ("weight", "bias")
    ]
    hidden = activation(F.linear(torch.tensor(X), parameters[0], parameters[1]))
    logits = F.linear(hidden, parameters[2], parameters[3])
    loss = F.cross_entropy(logits, torch.tensor(Y))
    grads = torch.autograd.grad(loss, parameters)
    after = [p - LEARNING_RATE * g for p, g in zip(parameters, grads)]

    def layers(values):
        return [{"weight": values[i], "bias": values[i + 1]} for i in (0, 2)]

    return {
        "activation": name,
        "hidden": hidden,
        "logits": logits,
        "classes": logits.argmax(1),
        "loss": loss,
        "grads": layers(grads),
        "after": layers(after),
    }


def net(sizes, bias=True):
    layers = [
        torch.nn.Linear(i, o, bias=bias, dtype=torch.float32) for i, o in zip(sizes, sizes[1:])
    ]
    return torch.nn.Sequential(*layers)


def parameter_counts():
    counts = []
    for sizes, bias in [
        ([784, 10], True),
        ([784, 10], False),
        ([784, 32, 10], True),
        ([784, 32, 10], False),
        ([784, 128, 64, 10], True),
        ([64, 10], True),
        ([4, 3], True),
        ([4, 3, 2], True),
    ]:
        parameters = list(net(sizes, bias).parameters())
        counts.append(
            {
                "sizes": sizes,
                "bias": bias,
                "tensors": len(parameters),
                "parameters": sum(p.numel() for p in parameters),
            }
        )
    assert counts[0]["parameters"] == 7850 and counts[2]["parameters"] == 25450
    return counts


def seeded(seed, sizes):
    torch.manual_seed(seed)
    parameters = net(sizes).named_parameters()
    return {
        "seed": seed,
        "sizes": sizes,
        "parameters": {name: p.double() for name, p in parameters},
    }


def main():
    emit(
        __doc__.strip(),
        x=X,
        y=Y,
        layers=LAYERS,
        learning_rate=LEARNING_RATE,
        cases=[case(name, f) for name, f in ACTIVATIONS.items()],
        parameter_counts=parameter_counts(),
        seeded=[seeded(42, [4, 3]), seeded(7, [4, 3, 2])],
    )


if __name__ == "__main__":
    main()
