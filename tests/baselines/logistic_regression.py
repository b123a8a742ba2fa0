"""Losses, gradients and one step of logistic regression on fixed arrays, in float64.

  softmax: logits = X W^T + b, loss = mean cross-entropy + l1 sum|W| + l2 sum W^2; the bias is not
           penalised, and the derivative of |w| at 0 is taken as 0.
  binary:  one logit z = X w + b, loss = mean of log(1 + exp(-s z)) with s = 2 y - 1, + the same
           penalties; the unpenalised loss has the gradient mean of (sigmoid(z) - y) x.
The step is gradient descent: parameter - learning_rate * gradient.
"""

import torch
import torch.nn.functional as F

from common import emit

LEARNING_RATE = 0.1
PENALTIES = [
    {"l1_strength": l1, "l2_strength": l2}
    for l1, l2 in [(0.0, 0.0), (0.01, 0.0), (0.0, 0.02), (0.01, 0.02)]
]

# 6 rows, 4 features; weights with a zero in them.
X = [
    [0.5, -1.0, 2.0, 0.1],
    [1.5, 0.3, -0.7, 0.0],
    [-0.2, 0.8, 0.4, -1.1],
    [2.2, -0.5, 0.6, 0.9],
    [-1.3, -0.4, 0.0, 1.7],
    [0.7, 1.1, -1.9, 0.25],
]
SOFTMAX = {
    "y": [0, 2, 1, 0, 2, 1],
    "weight": [[0.2, -0.1, 0.4, 0.3], [-0.5, 0.6, 0.0, 0.1], [0.15, -0.35, 0.25, -0.45]],
    "bias": [0.1, -0.2, 0.05],
}
BINARY = {"y": [0, 1, 1, 0, 1, 0], "weight": [[0.4, -0.3, 0.0, 0.7]], "bias": [-0.15]}
# Far from 0, where a naive log or exp over- or underflows.
EXTREME = [[800.0, 0.0, -800.0], [-1000.0, 1000.0, 999.0]]

# Row 5: two rows of four features, a weight [4, 3] as a textbook writes it, a bias.
FORWARD = {
    "x": [[1.0, 2.0, 3.0, 4.0], [-1.0, 0.5, 2.0, -3.0]],
    "weight": [[0.1, 0.5, -0.2], [0.2, -0.4, 0.3], [-0.3, 0.1, 0.2], [0.4, 0.0, -0.1]],
    "bias": [0.1, -0.1, 0.3],
}


def softmax_loss(x, y, weight, bias):
    return F.cross_entropy(F.linear(x, weight, bias), y)


def binary_loss(x, y, weight, bias):
    return F.binary_cross_entropy_with_logits(F.linear(x, weight, bias).squeeze(1), y.double())


def analytic(kind, x, y, weight, bias):
    """The gradient by formula, without autograd."""
    logits = x @ weight.T + bias
    if kind == "softmax":
        error = torch.softmax(logits, 1) - F.one_hot(y, 3)
    else:
        error = torch.sigmoid(logits) - y.unsqueeze(1)
    return error.T @ x / len(x), error.mean(0)


def case(kind, problem, penalties):
    loss_of = softmax_loss if kind == "softmax" else binary_loss
    x, y = torch.tensor(X), torch.tensor(problem["y"])
    weight = torch.tensor(problem["weight"], requires_grad=True)
    bias = torch.tensor(problem["bias"], requires_grad=True)
    data_loss = loss_of(x, y, weight, bias)
    l1, l2 = penalties["l1_strength"], penalties["l2_strength"]
    loss = data_loss + l1 * weight.abs().sum() + l2 * weight.square().sum()
    grads = torch.autograd.grad(loss, [weight, bias])

    with torch.no_grad():
        by_formula = analytic(kind, x, y, weight, bias)
        penalty = l1 * weight.sign() + 2 * l2 * weight
        torch.testing.assert_close(grads[0], by_formula[0] + penalty, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(grads[1], by_formula[1], rtol=1e-12, atol=1e-14)
        return {
            **penalties,
            "data_loss": data_loss,
            "loss": loss,
            "weight_grad": grads[0],
            "bias_grad": grads[1],
            "weight_after": weight - LEARNING_RATE * grads[0],
            "bias_after": bias - LEARNING_RATE * grads[1],
        }


def per_row_gradients(kind, problem):
    """The gradient of each row's own loss; their mean is the batch's."""
    weight, bias = torch.tensor(problem["weight"]), torch.tensor(problem["bias"])
    rows = [
        analytic(
            kind, torch.tensor(X)[i : i + 1], torch.tensor(problem["y"])[i : i + 1], weight, bias
        )
        for i in range(len(X))
    ]
    return {"weight": [w for w, _ in rows], "bias": [b for _, b in rows]}


def predictions(kind, problem):
    logits = F.linear(
        torch.tensor(X), torch.tensor(problem["weight"]), torch.tensor(problem["bias"])
    )
    if kind == "softmax":
        probabilities, classes = logits.softmax(1), logits.argmax(1)
    else:
        probabilities = logits.sigmoid().squeeze(1)
        classes = (probabilities > 0.5).long()
    return {"logits": logits, "probabilities": probabilities, "classes": classes}


def two_class_softmax():
    """The softmax of logits (0, z) is the logistic model: same loss, probabilities and gradient."""
    weight = torch.tensor([[0.0] * 4, BINARY["weight"][0]])
    bias = torch.tensor([0.0, BINARY["bias"][0]])
    x, y = torch.tensor(X), torch.tensor(BINARY["y"])
    loss = F.cross_entropy(F.linear(x, weight, bias), y)
    binary = binary_loss(x, y, torch.tensor(BINARY["weight"]), torch.tensor(BINARY["bias"]))
    torch.testing.assert_close(loss, binary, rtol=1e-14, atol=0)
    return {
        "weight": weight,
        "bias": bias,
        "loss": loss,
        "probabilities": F.linear(x, weight, bias).softmax(1),
    }


def extreme_logits():
    logits = torch.tensor(EXTREME, requires_grad=True)
    targets = torch.tensor([2, 1])
    loss = F.cross_entropy(logits, targets)
    (grad,) = torch.autograd.grad(loss, logits)
    z, labels = torch.tensor([1000.0, -1000.0, 40.0]), torch.tensor([0.0, 1.0, 1.0])
    return {
        "softmax": {"logits": EXTREME, "y": targets, "loss": loss, "grad": grad},
        "binary": {
            "logits": z,
            "y": labels,
            "losses": F.binary_cross_entropy_with_logits(z, labels, reduction="none"),
        },
    }


def forward():
    """x [2, 4] times weight [4, 3] plus bias, term by term, equals Linear of the transpose."""
    x, weight, bias = (torch.tensor(FORWARD[name]) for name in ("x", "weight", "bias"))
    by_hand = [
        [sum(x[i, k] * weight[k, j] for k in range(4)).item() + bias[j].item() for j in range(3)]
        for i in range(2)
    ]
    logits = F.linear(x, weight.T, bias)
    torch.testing.assert_close(torch.tensor(by_hand), logits, rtol=1e-14, atol=1e-14)
    return {
        **FORWARD,
        "logits": logits,
        "probabilities": logits.softmax(1),
        "classes": logits.argmax(1),
    }


def main():
    result = {"x": X, "learning_rate": LEARNING_RATE}
    for kind, problem in (("softmax", SOFTMAX), ("binary", BINARY)):
        result[kind] = {
            **problem,
            **predictions(kind, problem),
            "per_row_gradients": per_row_gradients(kind, problem),
            "cases": [case(kind, problem, penalties) for penalties in PENALTIES],
        }
    emit(
        __doc__.strip(),
        forward=forward(),
        **result,
        two_class_softmax=two_class_softmax(),
        extreme=extreme_logits(),
    )


if __name__ == "__main__":
    main()
