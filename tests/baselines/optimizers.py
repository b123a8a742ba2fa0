"""Parameters after each of ten steps of PyTorch's optimizers on two small problems, in float64.

least_squares: loss = sum over the rows of |W x + b - y|^2 / (2 n), so that with the residuals
  R = X W^T + b - Y the gradients are dW = R^T X / n and db = the column sums of R / n.
rosenbrock: loss = (1 - p0)^2 + 100 (p1 - p0^2)^2.
"""

import torch

from common import emit

STEPS = 10

PROBLEMS = {
    "least_squares": {
        "x": [
            [1.0, 2.0, -1.0],
            [0.5, -1.5, 2.0],
            [-2.0, 0.25, 1.0],
            [3.0, 1.0, 0.5],
            [-1.0, -0.75, -2.5],
        ],
        "y": [[1.0, -2.0], [0.5, 3.0], [-1.5, 0.75], [2.0, -1.0], [0.25, -0.5]],
        "parameters": {"weight": [[0.3, -0.2, 0.1], [-0.4, 0.5, 0.6]], "bias": [0.05, -0.1]},
    },
    "rosenbrock": {"parameters": {"p": [-1.2, 1.0]}},
}


def least_squares(parameters):
    problem = PROBLEMS["least_squares"]
    x, y = torch.tensor(problem["x"]), torch.tensor(problem["y"])
    weight, bias = parameters["weight"], parameters["bias"]
    residuals = x @ weight.detach().T + bias.detach() - y
    weight.grad = residuals.T @ x / len(x)
    bias.grad = residuals.sum(0) / len(x)
    return residuals.square().sum() / (2 * len(x))


def rosenbrock(parameters):
    p = parameters["p"]
    a, b = p.detach()
    p.grad = torch.stack([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])
    return (1 - a) ** 2 + 100 * (b - a * a) ** 2


LOSSES = {"least_squares": least_squares, "rosenbrock": rosenbrock}

# name, class, problem, options by PyTorch's names
CASES = [
    ("sgd", "SGD", "least_squares", {"lr": 0.1}),
    ("sgd_momentum", "SGD", "least_squares", {"lr": 0.1, "momentum": 0.9}),
    ("sgd_dampening", "SGD", "least_squares", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ("sgd_nesterov", "SGD", "least_squares", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("sgd_weight_decay", "SGD", "least_squares", {"lr": 0.1, "weight_decay": 0.05}),
    (
        "sgd_momentum_weight_decay",
        "SGD",
        "least_squares",
        {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.05},
    ),
    ("sgd_maximize", "SGD", "least_squares", {"lr": 0.01, "momentum": 0.5, "maximize": True}),
    ("sgd_rosenbrock", "SGD", "rosenbrock", {"lr": 0.001, "momentum": 0.9, "nesterov": True}),
    ("adam", "Adam", "least_squares", {"lr": 0.05}),
    ("adam_betas_eps", "Adam", "least_squares", {"lr": 0.05, "betas": [0.8, 0.95], "eps": 0.001}),
    ("adam_weight_decay", "Adam", "least_squares", {"lr": 0.05, "weight_decay": 0.1}),
    ("adam_amsgrad", "Adam", "least_squares", {"lr": 0.3, "betas": [0.5, 0.6], "amsgrad": True}),
    ("adam_maximize", "Adam", "least_squares", {"lr": 0.05, "maximize": True}),
    ("adam_rosenbrock", "Adam", "rosenbrock", {"lr": 0.1}),
    ("adamw", "AdamW", "least_squares", {"lr": 0.05}),
    ("adamw_weight_decay", "AdamW", "least_squares", {"lr": 0.05, "weight_decay": 0.3}),
    (
        "adamw_amsgrad",
        "AdamW",
        "least_squares",
        {"lr": 0.3, "betas": [0.5, 0.6], "weight_decay": 0.1, "amsgrad": True},
    ),
    ("adamw_maximize", "AdamW", "least_squares", {"lr": 0.05, "maximize": True}),
    ("adagrad", "Adagrad", "least_squares", {"lr": 0.2}),
    (
        "adagrad_all",
        "Adagrad",
        "least_squares",
        {
            "lr": 0.2,
            "lr_decay": 0.1,
            "weight_decay": 0.05,
            "initial_accumulator_value": 0.2,
            "eps": 1e-6,
        },
    ),
    ("adagrad_maximize", "Adagrad", "least_squares", {"lr": 0.05, "maximize": True}),
    ("rmsprop", "RMSprop", "least_squares", {"lr": 0.02}),
    ("rmsprop_momentum", "RMSprop", "least_squares", {"lr": 0.02, "alpha": 0.9, "momentum": 0.5}),
    ("rmsprop_centered", "RMSprop", "least_squares", {"lr": 0.02, "alpha": 0.9, "centered": True}),
    (
        "rmsprop_all",
        "RMSprop",
        "least_squares",
        {
            "lr": 0.02,
            "alpha": 0.8,
            "eps": 1e-4,
            "weight_decay": 0.05,
            "momentum": 0.7,
            "centered": True,
        },
    ),
    ("rmsprop_maximize", "RMSprop", "least_squares", {"lr": 0.02, "maximize": True}),
    ("lbfgs", "LBFGS", "least_squares", {"lr": 0.3, "max_iter": 2, "history_size": 3}),
    (
        "lbfgs_strong_wolfe",
        "LBFGS",
        "least_squares",
        {"lr": 1.0, "max_iter": 1, "line_search_fn": "strong_wolfe"},
    ),
    (
        "lbfgs_rosenbrock",
        "LBFGS",
        "rosenbrock",
        {"lr": 1.0, "max_iter": 2, "history_size": 5, "line_search_fn": "strong_wolfe"},
    ),
    (
        "lbfgs_rosenbrock_plain",
        "LBFGS",
        "rosenbrock",
        {"lr": 0.1, "max_iter": 3, "history_size": 2},
    ),
]


def run(optimizer_name, problem, options):
    """The loss that each step returned (before its update) and the parameters after it."""
    parameters = {
        name: torch.nn.Parameter(torch.tensor(value))
        for name, value in PROBLEMS[problem]["parameters"].items()
    }
    options = dict(options)
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    if optimizer_name != "LBFGS":
        options["foreach"] = False
    optimizer = getattr(torch.optim, optimizer_name)(parameters.values(), **options)
    evaluations = 0

    def closure():
        nonlocal evaluations
        evaluations += 1
        return LOSSES[problem](parameters)

    steps = []
    for _ in range(STEPS):
        loss = optimizer.step(closure)
        steps.append({"loss": float(loss)} | {n: p.detach().clone() for n, p in parameters.items()})
        if optimizer_name == "LBFGS":
            steps[-1]["evaluations"] = evaluations
    return steps


def check_gradients():
    """The stated formulas equal autograd."""
    given = PROBLEMS["least_squares"]
    weight, bias = (
        torch.nn.Parameter(torch.tensor(given["parameters"][n])) for n in ("weight", "bias")
    )
    least_squares({"weight": weight, "bias": bias})
    stated = [weight.grad.clone(), bias.grad.clone()]
    x, y = torch.tensor(given["x"]), torch.tensor(given["y"])
    # The mean over n * 2 entries is the stated loss.
    loss = torch.nn.functional.mse_loss(torch.nn.functional.linear(x, weight, bias), y)
    for a, b in zip(stated, torch.autograd.grad(loss, [weight, bias])):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)
    p = torch.nn.Parameter(torch.tensor([-1.2, 1.0]))
    rosenbrock({"p": p})
    (gradient,) = torch.autograd.grad((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2, p)
    torch.testing.assert_close(p.grad, gradient, rtol=1e-13, atol=1e-13)


def defaults():
    """What each optimizer takes where an option is left out."""
    hidden = {
        "foreach",
        "capturable",
        "differentiable",
        "fused",
        "decoupled_weight_decay",
        "params",
    }
    result = {}
    for name in ("SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "LBFGS"):
        options = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(1))]).defaults
        result[name] = {k: v for k, v in options.items() if k not in hidden}
    return result


def main():
    check_gradients()
    cases = [
        {
            "name": name,
            "optimizer": optimizer,
            "problem": problem,
            "options": options,
            "steps": run(optimizer, problem, options),
        }
        for name, optimizer, problem, options in CASES
    ]
    emit(__doc__.strip(), defaults=defaults(), problems=PROBLEMS, cases=cases)


if __name__ == "__main__":
    main()
