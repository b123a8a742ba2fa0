"""Learning rates of PyTorch's schedulers at counter 0, 1, 2 ... (before any step, after one ...).

A step of the scheduler is an epoch or a training step, as its interval says. OneCycleLR also
cycles the momentum (SGD) or the first beta (Adam). ReduceLROnPlateau's entry k is the rate after
the first k metrics were seen.
"""

import math
import warnings

import torch
from torch.optim import lr_scheduler

from common import emit

COUNTERS = 41

# name, class, base learning rate, options by PyTorch's names
CASES = [
    ("step", "StepLR", 0.1, {"step_size": 7}),
    ("step_gamma", "StepLR", 0.5, {"step_size": 10, "gamma": 0.3}),
    ("multi_step", "MultiStepLR", 0.1, {"milestones": [5, 6, 20, 33], "gamma": 0.5}),
    ("multi_step_repeated", "MultiStepLR", 0.1, {"milestones": [8, 8, 15]}),
    ("exponential", "ExponentialLR", 0.1, {"gamma": 0.9}),
    ("cosine", "CosineAnnealingLR", 0.1, {"T_max": 40}),
    ("cosine_eta_min", "CosineAnnealingLR", 0.1, {"T_max": 25, "eta_min": 0.01}),
    ("cosine_past_the_end", "CosineAnnealingLR", 0.3, {"T_max": 10, "eta_min": 0.001}),
    ("warm_up", "LinearLR", 0.1, {}),
    ("warm_up_from_0.1", "LinearLR", 0.2, {"start_factor": 0.1, "total_iters": 10}),
    ("linear_decay", "LinearLR", 0.2, {"start_factor": 1.0, "end_factor": 0.25, "total_iters": 30}),
    ("constant", "ConstantLR", 0.1, {}),
    ("constant_half", "ConstantLR", 0.4, {"factor": 0.5, "total_iters": 12}),
    ("polynomial", "PolynomialLR", 0.1, {}),
    ("polynomial_square", "PolynomialLR", 0.3, {"total_iters": 30, "power": 2.0}),
    ("polynomial_root", "PolynomialLR", 0.3, {"total_iters": 40, "power": 0.5}),
    ("restarts", "CosineAnnealingWarmRestarts", 0.1, {"T_0": 7}),
    (
        "restarts_longer_and_longer",
        "CosineAnnealingWarmRestarts",
        0.2,
        {"T_0": 3, "T_mult": 2, "eta_min": 0.02},
    ),
    ("restarts_tripled", "CosineAnnealingWarmRestarts", 0.2, {"T_0": 1, "T_mult": 3}),
    ("cyclic", "CyclicLR", 0.01, {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 6}),
    (
        "cyclic_uneven_and_halved",
        "CyclicLR",
        0.5,
        {
            "base_lr": 0.02,
            "max_lr": 0.2,
            "step_size_up": 3,
            "step_size_down": 8,
            "mode": "triangular2",
            "cycle_momentum": False,
        },
    ),
    (
        "cyclic_exponential",
        "CyclicLR",
        0.01,
        {
            "base_lr": 0.001,
            "max_lr": 0.3,
            "step_size_up": 5,
            "mode": "exp_range",
            "gamma": 0.97,
        },
    ),
    ("one_cycle", "OneCycleLR", 0.01, {"max_lr": 0.1, "total_steps": 41}),
    (
        "one_cycle_linear",
        "OneCycleLR",
        0.01,
        {
            "max_lr": 0.5,
            "total_steps": 41,
            "pct_start": 0.25,
            "anneal_strategy": "linear",
            "div_factor": 10.0,
            "final_div_factor": 100.0,
        },
    ),
    (
        "one_cycle_three_phase",
        "OneCycleLR",
        0.01,
        {
            "max_lr": 0.2,
            "total_steps": 41,
            "three_phase": True,
            "base_momentum": 0.8,
            "max_momentum": 0.9,
        },
    ),
    (
        "one_cycle_no_momentum",
        "OneCycleLR",
        0.01,
        {"max_lr": 0.2, "total_steps": 41, "cycle_momentum": False},
    ),
]

METRICS = [
    1.0,
    0.9,
    0.95,
    0.89,
    0.8999,
    0.89,
    0.8901,
    0.9,
    0.91,
    0.92,
    0.8,
    0.79995,
    0.79993,
    0.79991,
    0.7999,
    0.81,
    0.82,
    0.83,
    0.84,
    0.85,
    0.7,
    0.71,
    0.72,
    0.73,
    0.74,
    0.75,
    0.76,
    0.77,
    0.78,
    0.79,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
]

# name, base learning rate, options
PLATEAU_CASES = [
    ("plateau", 0.1, {}),
    ("plateau_patience_2", 0.1, {"factor": 0.5, "patience": 2}),
    ("plateau_patience_0", 0.1, {"factor": 0.8, "patience": 0, "threshold": 0.0}),
    ("plateau_cooldown", 0.1, {"factor": 0.5, "patience": 1, "cooldown": 3}),
    ("plateau_min_lr", 0.1, {"factor": 0.1, "patience": 1, "min_lr": 0.005}),
    ("plateau_eps", 0.1, {"factor": 0.5, "patience": 1, "eps": 0.01}),
    (
        "plateau_absolute",
        0.1,
        {"factor": 0.5, "patience": 2, "threshold": 0.02, "threshold_mode": "abs"},
    ),
    (
        "plateau_relative",
        0.1,
        {"factor": 0.5, "patience": 2, "threshold": 0.05, "threshold_mode": "rel"},
    ),
    ("plateau_max", 0.1, {"mode": "max", "factor": 0.5, "patience": 3}),
    (
        "plateau_max_absolute",
        0.1,
        {"mode": "max", "factor": 0.5, "patience": 3, "threshold": 0.01, "threshold_mode": "abs"},
    ),
]


def sgd(learning_rate, momentum=0.9):
    parameter = torch.nn.Parameter(torch.zeros(1))
    return torch.optim.SGD([parameter], lr=learning_rate, momentum=momentum)


def follow(optimizer, scheduler, counters=COUNTERS):
    """The learning rate and the momentum (or first beta) at each counter."""
    rates, momenta = [], []
    for counter in range(counters):
        if counter:
            optimizer.step()
            scheduler.step()
        group = optimizer.param_groups[0]
        rates.append(float(group["lr"]))
        momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
    return rates, momenta


def by_counter(name, class_name, base, options):
    optimizer = sgd(base)
    rates, momenta = follow(optimizer, getattr(lr_scheduler, class_name)(optimizer, **options))
    case = {
        "name": name,
        "scheduler": class_name,
        "learning_rate": base,
        "options": options,
        "rates": rates,
    }
    if class_name == "OneCycleLR":
        case["momenta"] = momenta
    return case


def warm_up_then_cosine():
    """Two schedules in a row: SequentialLR of LinearLR and CosineAnnealingLR."""
    warm_up, cosine = {"start_factor": 0.2, "total_iters": 5}, {"T_max": 35, "eta_min": 0.001}
    optimizer = sgd(0.1)
    parts = [
        lr_scheduler.LinearLR(optimizer, **warm_up),
        lr_scheduler.CosineAnnealingLR(optimizer, **cosine),
    ]
    rates, _ = follow(optimizer, lr_scheduler.SequentialLR(optimizer, parts, milestones=[5]))
    return {
        "name": "warm_up_then_cosine",
        "scheduler": "SequentialLR",
        "learning_rate": 0.1,
        "options": {"milestones": [5], "LinearLR": warm_up, "CosineAnnealingLR": cosine},
        "rates": rates,
    }


def three_in_a_row():
    """SequentialLR as a configuration writes it: a list of names with settings."""
    parts = [
        ("ConstantLR", {"factor": 0.1, "total_iters": 4}),
        ("PolynomialLR", {"total_iters": 12, "power": 1.5}),
        ("CosineAnnealingWarmRestarts", {"T_0": 6}),
    ]
    optimizer = sgd(0.2)
    made = [getattr(lr_scheduler, name)(optimizer, **settings) for name, settings in parts]
    rates, _ = follow(optimizer, lr_scheduler.SequentialLR(optimizer, made, milestones=[5, 17]))
    return {
        "name": "three_in_a_row",
        "scheduler": "SequentialLR",
        "learning_rate": 0.2,
        "options": {
            "milestones": [5, 17],
            "schedulers": [{"class_path": n, "init_args": settings} for n, settings in parts],
        },
        "rates": rates,
    }


def one_cycle_beta():
    """OneCycleLR over Adam cycles the first beta."""
    options = {"max_lr": 0.1, "total_steps": 41}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    rates, betas = follow(optimizer, lr_scheduler.OneCycleLR(optimizer, **options))
    return {
        "name": "one_cycle_adam",
        "scheduler": "OneCycleLR",
        "learning_rate": 0.01,
        "options": options,
        "rates": rates,
        "momenta": betas,
    }


def plateau(name, base, options):
    optimizer = sgd(base)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rates = [base]
    for metric in METRICS:
        scheduler.step(metric)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return {
        "name": name,
        "scheduler": "ReduceLROnPlateau",
        "learning_rate": base,
        "options": options,
        "rates": rates,
    }


def check_cosine(case):
    """PyTorch computes the cosine step by step; a function of the counter alone gives the same."""
    base, low = case["learning_rate"], case["options"].get("eta_min", 0.0)
    for counter, rate in enumerate(case["rates"]):
        cosine = math.cos(math.pi * counter / case["options"]["T_max"])
        assert math.isclose(
            rate, low + (base - low) * (1 + cosine) / 2, rel_tol=1e-12, abs_tol=1e-15
        )


def main():
    warnings.simplefilter("ignore")  # optimizer.step without gradients, SequentialLR's own calls
    cases = [by_counter(*case) for case in CASES] + [
        warm_up_then_cosine(),
        three_in_a_row(),
        one_cycle_beta(),
    ]
    for case in cases:
        if case["scheduler"] == "CosineAnnealingLR":
            check_cosine(case)
    emit(
        __doc__.strip(),
        cases=cases,
        plateau_metrics=METRICS,
        plateau_cases=[plateau(*case) for case in PLATEAU_CASES],
    )


if __name__ == "__main__":
    main()
