"""What Optuna 5, scikit-learn, scipy and cmaes compute: distributions, Parzen estimators, trials
chosen by TPE, decisions of pruners, halving schedules, Sobol points and steps of CMA-ES."""

import math
import warnings

import numpy as np
import optuna
import scipy.stats.qmc
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import FrozenTrial, TrialState

from common import emit

warnings.simplefilter("ignore")

# Of two equal centres, numpy's default leaves open which comes first; here it is the older one.
unstable_argsort = np.argsort
np.argsort = lambda a, axis=-1, kind="stable", **more: unstable_argsort(a, axis, kind, **more)

optuna.logging.set_verbosity(optuna.logging.ERROR)

DISTRIBUTIONS = [
    FloatDistribution(-1.5, 2.0),
    FloatDistribution(1e-5, 0.1, log=True),
    FloatDistribution(0.0, 1.0, step=0.3),
    FloatDistribution(0.1, 0.7, step=0.2),
    FloatDistribution(0.1, 0.75, step=0.1),
    FloatDistribution(3.0, 3.0),
    IntDistribution(1, 10),
    IntDistribution(0, 10, step=3),
    IntDistribution(1, 1000, log=True),
    IntDistribution(-4, -4),
    CategoricalDistribution([None, True, 1.5, "a\u00e9\U0001f600\n\"", 7]),
    CategoricalDistribution(["only"]),
]


def distributions():
    rows = []
    for d in DISTRIBUTIONS:
        probes = [-4.0, 0.0, 0.3, 0.5, 0.6000000000000001, 1.0, 3.0, 7.0, 9.0, 10.0, 12.0]
        rows.append(
            {
                "json": distribution_to_json(d),
                "single": d.single(),
                "probes": probes,
                "contains": [bool(d._contains(x)) for x in probes]
                if not isinstance(d, CategoricalDistribution)
                else [0 <= x < len(d.choices) and x == int(x) for x in probes],
            }
        )
    return rows


SPACE = {
    "b_log": FloatDistribution(1e-5, 1e-1, log=True),
    "c_int": IntDistribution(1, 8),
    "d_cat": CategoricalDistribution(["x", "y", "z"]),
    "e_step": FloatDistribution(0.0, 1.0, step=0.25),
    "f_logint": IntDistribution(1, 200, log=True),
    "a_float": FloatDistribution(-5.0, 10.0),
}


def draw(rng):
    return {
        "a_float": float(rng.uniform(-5, 10)),
        "b_log": float(math.exp(rng.uniform(math.log(1e-5), math.log(1e-1)))),
        "c_int": int(rng.randint(1, 9)),
        "d_cat": ["x", "y", "z"][rng.randint(3)],
        "e_step": 0.25 * int(rng.randint(5)),
        "f_logint": int(rng.randint(1, 201)),
    }


def estimator(count, seed):
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
    from optuna.samplers._tpe.sampler import default_weights

    rng = np.random.RandomState(seed)
    draws = [draw(rng) for _ in range(count)]
    if count > 3:
        draws[2]["a_float"] = draws[3]["a_float"]
    points = [draw(rng) for _ in range(6)]
    points += [dict(points[0], a_float=-5.0, b_log=1e-1), dict(points[1], c_int=8, f_logint=200)]
    space = dict(sorted(SPACE.items()))

    def internal(rows):
        return {k: np.asarray([d.to_internal_repr(r[k]) for r in rows]) for k, d in space.items()}

    parameters = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    e = _ParzenEstimator(internal(draws), space, parameters)
    mixture = e._mixture_distribution
    kernels = {}
    for name, d in zip(space, mixture.distributions):
        if hasattr(d, "weights"):
            kernels[name] = {"weights": d.weights}
        else:
            kernels[name] = {"mu": d.mu, "sigma": d.sigma}
    samples = e.sample(np.random.RandomState(seed + 100), 5)
    return {
        "observations": internal(draws),
        "weights": mixture.weights,
        "kernels": kernels,
        "points": internal(points),
        "log_pdf": e.log_pdf(internal(points)),
        "seed": seed + 100,
        "samples": samples,
    }


def normal_masses():
    from optuna.samplers._tpe import _truncnorm

    pairs = [(-1.0, 1.0), (-30.0, -29.0), (5.0, 6.0), (-0.1, 40.0), (-40.0, 0.0), (12.0, 30.0),
             (-3.0, -2.999), (0.0, 1e-9), (-25.0, 25.0), (-8.0, -0.5)]
    a = np.array([p[0] for p in pairs])
    b = np.array([p[1] for p in pairs])
    q = np.array([0.0, 0.001, 0.3, 0.5, 0.9, 0.999999, 1.0])
    return {
        "a": a,
        "b": b,
        "log_mass": _truncnorm._log_gauss_mass(a, b),
        "q": q,
        "ppf": [_truncnorm.ppf(q, np.full_like(q, x), np.full_like(q, y)) for x, y in pairs],
    }


def recorded_study(count, seed, direction, states):
    """A study of random trials, as recorded ones are given to samplers."""
    rng = np.random.RandomState(seed)
    study = optuna.create_study(direction=direction, study_name="recorded")
    for number in range(count):
        params = draw(rng)
        state = states[number % len(states)]
        loss = (params["a_float"] - 2) ** 2 + (params["c_int"] - 3) ** 2 + params["e_step"]
        steps = {s: loss + 5.0 / (s + 1) + float(rng.randn()) for s in range(1 + number % 4)}
        if state == TrialState.PRUNED and number % 5 == 0:
            steps[max(steps)] = float("nan")
        trial = optuna.trial.create_trial(
            state=state,
            params=params,
            distributions=SPACE,
            value=float(round(loss, 1)) if state == TrialState.COMPLETE else None,
            intermediate_values=steps,
        )
        study.add_trial(trial)
    return study


def as_rows(study):
    rows = []
    for t in study.trials:
        rows.append(
            {
                "state": t.state.value,
                "value": t.value,
                "params": {k: t.distributions[k].to_internal_repr(v) for k, v in t.params.items()},
                "steps": {str(k): (None if math.isnan(v) else v)
                          for k, v in t.intermediate_values.items()},
            }
        )
    return rows


def suggestions():
    """The values that a sampler with a fresh numpy generator of that seed chooses."""
    rows = []
    C, P, R, F = TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL
    cases = [
        (12, "minimize", [C]),
        (40, "maximize", [C, C, P, C, F, R]),
        (120, "minimize", [C, P, C, C, R]),
        (15, "minimize", [P]),
    ]
    for index, (count, direction, states) in enumerate(cases):
        study = recorded_study(count, 10 + index, direction, states)
        row = {"direction": direction, "trials": as_rows(study), "joint": [], "alone": []}
        for seed in range(2):
            sampler = optuna.samplers.TPESampler(seed=seed)
            new = study.ask()
            trial = study._storage.get_trial(new._trial_id)
            space = dict(sorted(SPACE.items()))
            chosen = sampler._sample(study, trial, space)
            row["joint"].append({k: d.to_internal_repr(chosen[k]) for k, d in space.items()})
            alone = {}
            for name, d in space.items():
                single = optuna.samplers.TPESampler(seed=seed)
                alone[name] = d.to_internal_repr(single._sample(study, trial, {name: d})[name])
            row["alone"].append(alone)
            study.tell(new, state=F)
        rows.append(row)
    return rows


def curves(count, steps, seed):
    rng = np.random.RandomState(seed)
    rows = []
    for number in range(count):
        level, rate = rng.rand(), 0.2 + rng.rand()
        length = steps if number % 7 else steps // 2
        row = [float(level + math.exp(-rate * s) + 0.05 * rng.randn()) for s in range(length)]
        if number % 9 == 4:
            row[3] = float("nan")
        rows.append(row)
    return rows


def pruning(pruner, direction, rows, name="recorded"):
    """Runs the curves as trials, one after another, and returns at which step each was pruned."""
    study = optuna.create_study(direction=direction, pruner=pruner, study_name=name)
    ends = []
    for row in rows:
        trial = study.ask()
        end = -1
        for step, value in enumerate(row):
            trial.report(value, step)
            if trial.should_prune():
                end = step
                break
        ends.append(end)
        if end >= 0:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, row[-1])
    return ends


def pruners():
    from optuna import pruners as p

    rows = curves(60, 30, 3)
    makers = {
        "median": lambda: p.MedianPruner(),
        "median_late": lambda: p.MedianPruner(
            n_startup_trials=3, n_warmup_steps=4, interval_steps=5, n_min_trials=4
        ),
        "percentile": lambda: p.PercentilePruner(25.0),
        "halving": lambda: p.SuccessiveHalvingPruner(),
        "halving_3": lambda: p.SuccessiveHalvingPruner(
            min_resource=2, reduction_factor=3, min_early_stopping_rate=1, bootstrap_count=2
        ),
        "hyperband": lambda: p.HyperbandPruner(),
        "hyperband_30": lambda: p.HyperbandPruner(
            min_resource=2, max_resource=30, reduction_factor=2
        ),
        "patient": lambda: p.PatientPruner(None, patience=3, min_delta=0.02),
        "patient_median": lambda: p.PatientPruner(p.MedianPruner(), patience=1),
        "threshold": lambda: p.ThresholdPruner(lower=0.1, upper=1.7, n_warmup_steps=2),
    }
    return {
        "curves": [[None if math.isnan(v) else v for v in row] for row in rows],
        "pruned_at": {
            name: {d: pruning(make(), d, rows) for d in ("minimize", "maximize")}
            for name, make in makers.items()
        },
    }


def halving():
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.RandomState(0)
    rows = []
    cases = [
        (300, 27, 3, "exhaust", "auto", False),
        (300, 27, 3, "smallest", "auto", False),
        (1000, 20, 2, "smallest", "auto", False),
        (1000, 60, 3, 150, "auto", True),
        (400, 30, 4, 25, 320, False),
        (90, 5, 3, "exhaust", "auto", True),
    ]
    for samples, candidates, factor, least, most, aggressive in cases:
        x = rng.randn(samples, 2)
        y = np.arange(samples) % 2
        search = HalvingGridSearchCV(
            DecisionTreeClassifier(random_state=0),
            {"max_depth": list(range(1, candidates + 1))},
            factor=factor,
            min_resources=least,
            max_resources=most,
            aggressive_elimination=aggressive,
            cv=5,
            random_state=0,
            refit=False,
        ).fit(x, y)
        rows.append(
            {
                "samples": samples,
                "candidates": candidates,
                "factor": factor,
                "min_resources": least,
                "max_resources": samples if most == "auto" else most,
                "smallest": 5 * 2 * 2,
                "aggressive": aggressive,
                "n_resources": search.n_resources_,
                "n_candidates": search.n_candidates_,
            }
        )
    return rows


def cma_es():
    import cmaes

    rows = []
    for dim, sigma, seed in ((2, 1.3, 1), (5, 0.5, 2)):
        bounds = np.array([[-5.0, 10.0]] * dim)
        optimizer = cmaes.CMA(mean=np.full(dim, 1.0), sigma=sigma, bounds=bounds, seed=seed)
        generations = []
        for _ in range(12):
            points = []
            for _ in range(optimizer.population_size):
                x = optimizer.ask()
                points.append((x, float(np.sum((x - 3) ** 2 * 10 ** np.arange(dim)))))
            optimizer.tell(points)
            generations.append(
                {
                    "points": [p[0] for p in points],
                    "values": [p[1] for p in points],
                    "mean": optimizer._mean.copy(),
                    "sigma": float(optimizer._sigma),
                    "covariance": optimizer._C.copy(),
                }
            )
        rows.append({"dim": dim, "sigma": sigma, "population": optimizer.population_size,
                     "generations": generations})
    return rows


def front_splits():
    """Which trials TPE counts as good ones if there are several objectives."""
    from optuna.samplers._tpe.sampler import _split_complete_trials_multi_objective

    rows = []
    for seed, (count, below) in enumerate([(10, 3), (40, 4), (60, 25), (30, 7)]):
        rng = np.random.RandomState(seed)
        directions = ["minimize", "maximize"] if seed % 2 else ["minimize"] * 3
        study = optuna.create_study(directions=directions)
        values = rng.rand(count, len(directions)).round(2)
        trials = [
            FrozenTrial(i, TrialState.COMPLETE, None, None, None, {}, {}, {}, {}, {}, i,
                        values=[float(x) for x in v])
            for i, v in enumerate(values)
        ]
        good, _ = _split_complete_trials_multi_objective(trials, study, below)
        rows.append({"directions": directions, "values": values, "below": below,
                     "good": sorted(t.number for t in good)})
    return rows


def main():
    emit(
        __doc__,
        optuna=optuna.__version__,
        distributions=distributions(),
        normal=normal_masses(),
        space={k: distribution_to_json(d) for k, d in SPACE.items()},
        estimators=[estimator(n, s) for n, s in ((0, 1), (1, 2), (2, 3), (7, 4), (40, 5))],
        suggestions=suggestions(),
        fronts=front_splits(),
        pruners=pruners(),
        halving=halving(),
        sobol=[{"dim": d, "points": scipy.stats.qmc.Sobol(d, scramble=False).random(64)[s]}
               for d, s in ((3, slice(0, 16)), (40, slice(60, 64)))],
        cma_es=cma_es(),
    )


if __name__ == "__main__":
    main()
