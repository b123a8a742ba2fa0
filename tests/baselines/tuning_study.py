"""Reads and continues the study of a journal file, or of the database sqlite:///FILE, with Optuna
5, for the tests of tuning/.

    tuning_study.py read FILE NAME             prints the study's trials as JSON
    tuning_study.py continue FILE NAME COUNT [PARAMETER=VALUE]
        runs COUNT trials of TPE on a quadratic function, and enqueues one with this parameter
    tuning_study.py importance FILE all        prints the importance of the parameters (PED-ANOVA)
                                               in each study of the file
    tuning_study.py write FILE NAME            writes every operation that a journal has

Exits with 77 if Python doesn't have the package optuna.
"""

import json
import math
import sys
import warnings

try:
    import optuna
except ImportError:
    sys.exit(77)
from optuna.distributions import distribution_to_json
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def number(value):
    """JSON has no NaN and no infinity."""
    return str(value) if not math.isfinite(value) else value


def rows_of(study):
    return [
        {
            "number": t.number,
            "state": t.state.value,
            "values": None if t.values is None else [number(v) for v in t.values],
            "params": {k: t.distributions[k].to_internal_repr(v) for k, v in t.params.items()},
            "distributions": {k: distribution_to_json(d) for k, d in t.distributions.items()},
            "steps": {str(k): number(v) for k, v in t.intermediate_values.items()},
            "user_attrs": t.user_attrs,
            "system_attrs": t.system_attrs,
            "started": t.datetime_start is not None,
            "completed": t.datetime_complete is not None,
        }
        for t in study.trials
    ]


def objective(trial):
    x = trial.suggest_float("x", -10.0, 10.0)
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.report(x, 0)
    return (x - 2.0) ** 2 + rate


def write_everything(storage, name):
    gone = optuna.create_study(storage=storage, study_name="gone")
    gone.add_trial(optuna.trial.create_trial(value=1.0))
    optuna.delete_study(study_name="gone", storage=storage)
    directions = ["maximize", "minimize"]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    study.set_user_attr("owner", {"name": "\u00e9\U0001f600", "list": [1, 2.5, None, True]})
    study.set_metric_names(["accuracy", "seconds"])
    trial = study.ask()
    trial.suggest_int("width", 1, 64, log=True)
    trial.suggest_int("depth", 1, 9, step=2)
    trial.suggest_float("drop", 0.0, 0.5, step=0.1)
    trial.suggest_categorical("act", ["relu", None, 3])
    trial.set_user_attr("note", "first")
    study.tell(trial, [0.5, float("inf")])
    study.tell(study.ask(), state=TrialState.FAIL)
    study.enqueue_trial({"width": 7}, user_attrs={"by": "hand"})
    study.ask()
    study.enqueue_trial({"width": 9})
    study.add_trial(
        optuna.trial.create_trial(
            values=[1.0, 2.0],
            params={"width": 3},
            distributions={"width": optuna.distributions.IntDistribution(1, 64, log=True)},
            intermediate_values={0: 0.5, 7: float("nan")},
            system_attrs={"a": [1]},
        )
    )
    return study


def main():
    verb, path, name = sys.argv[1:4]
    is_database = path.startswith("sqlite:")
    storage = (
        optuna.storages.RDBStorage(path) if is_database else JournalStorage(JournalFileBackend(path))
    )
    if verb == "importance":
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = {}
        for each in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=each, storage=storage)
            found[each] = optuna.importance.get_param_importances(study, evaluator=evaluator)
        print(json.dumps(found))
        return
    if verb == "write":
        study = write_everything(storage, name)
    else:
        study = optuna.load_study(study_name=name, storage=storage)
    if verb == "continue":
        study.optimize(objective, n_trials=int(sys.argv[4]))
        if len(sys.argv) > 5:
            parameter, value = sys.argv[5].split("=")
            study.enqueue_trial({parameter: float(value)})
    directions = [d.value for d in study.directions]
    system_attrs = storage.get_study_system_attrs(study._study_id)
    print(json.dumps({"name": name, "directions": directions, "user_attrs": study.user_attrs,
                      "system_attrs": system_attrs, "trials": rows_of(study)}))


if __name__ == "__main__":
    main()
