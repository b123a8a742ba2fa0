"""Metrics of classes and values, by scikit-learn and torchmetrics.

Probabilities of "classes" are rounded to two digits, so that many are equal; of equally likely
classes all take the lower. "logits" are compared by the softmax. Values are with and without the
weights of rows. null stands for nan, and for rows that scikit-learn refuses. The calibration errors
are those of torchmetrics, which has no weights and agrees on most others, too. Compare to 1e-12.
"""

import warnings

import numpy as np
import sklearn.metrics as sk
import torch
import torchmetrics.functional as tm

from common import emit

AVERAGES = {"micro": "micro", "macro": "macro", "weighted": "weighted", "none": None}


def scores_of(targets, probabilities, weights):
    classes = probabilities.shape[1]
    is_binary = classes == 2
    predicted = probabilities.argmax(1)
    scores = probabilities[:, 1] if is_binary else probabilities
    one_hot = np.eye(classes)[targets]
    known = {"sample_weight": weights}
    result = {
        "accuracy": sk.accuracy_score(targets, predicted, **known),
        "accuracy_macro": sk.balanced_accuracy_score(targets, predicted, **known),
        "confusion_matrix": sk.confusion_matrix(targets, predicted, **known).astype(float),
        "log_loss": sk.log_loss(targets, probabilities, **known),
    }
    for normalize in ["true", "pred", "all"]:
        result[f"confusion_matrix_{normalize}"] = sk.confusion_matrix(
            targets, predicted, normalize=normalize, **known
        )
    averages = dict(AVERAGES, binary="binary") if is_binary else AVERAGES
    for name, average in averages.items():
        options = {"average": average, "zero_division": 0, **known}
        result[f"precision_{name}"] = sk.precision_score(targets, predicted, **options)
        result[f"recall_{name}"] = sk.recall_score(targets, predicted, **options)
        result[f"f1_{name}"] = sk.f1_score(targets, predicted, **options)
        result[f"fbeta_{name}"] = sk.fbeta_score(targets, predicted, beta=2.0, **options)
    square = (probabilities - one_hot) ** 2
    rows = square[:, 1] if is_binary else square.sum(1)
    result["brier"] = np.average(rows, weights=weights)
    if is_binary:
        assert np.isclose(result["brier"], sk.brier_score_loss(targets, scores, **known))
        result["auroc"] = sk.roc_auc_score(targets, scores, **known)
        result["average_precision"] = sk.average_precision_score(targets, scores, **known)
        return result
    areas = [sk.roc_auc_score(targets == k, scores[:, k], **known) for k in range(classes)]
    precisions = [
        sk.average_precision_score(targets == k, scores[:, k], **known) for k in range(classes)
    ]
    shares = np.array([(np.ones(len(targets)) if weights is None else weights)[targets == k].sum()
                       for k in range(classes)])
    result["auroc"] = sk.roc_auc_score(targets, scores, multi_class="ovr", average="macro", **known)
    assert np.isclose(result["auroc"], np.mean(areas))
    result["auroc_weighted"] = np.average(areas, weights=shares)
    result["auroc_none"] = areas
    result["average_precision"] = np.mean(precisions)
    result["average_precision_weighted"] = np.average(precisions, weights=shares)
    result["average_precision_none"] = precisions
    return result


def calibration_error(y, p, norm, bins=10):
    """As torchmetrics has it, which computes in float32."""
    is_binary = p.shape[1] == 2
    confidence = p[:, 1] if is_binary else p.max(1)
    right = (y if is_binary else p.argmax(1) == y).astype(float)
    bounds = torch.linspace(0, 1, bins + 1, dtype=torch.float64).numpy()
    which = np.searchsorted(bounds, confidence, side="right") - 1
    parts = [which == i for i in range(bins + 1) if (which == i).any()]
    apart = np.array([abs(right[part].mean() - confidence[part].mean()) for part in parts])
    shares = np.array([part.mean() for part in parts])
    if norm == "max":
        return apart.max()
    return (apart * shares).sum() if norm == "l1" else np.sqrt((apart**2 * shares).sum())


def by_torchmetrics(targets, probabilities, result):
    """Calibration errors; and checks what both libraries have."""
    classes = probabilities.shape[1]
    p = torch.tensor(probabilities[:, 1] if classes == 2 else probabilities)
    y = torch.tensor(targets)
    task = {"task": "binary"} if classes == 2 else {"task": "multiclass", "num_classes": classes}
    for norm in ["l1", "l2", "max"]:
        ours = result[f"calibration_error_{norm}"] = calibration_error(targets, probabilities, norm)
        theirs = tm.calibration_error(p, y, n_bins=10, norm=norm, **task)
        assert abs(ours - float(theirs)) < 1e-6, (ours, theirs)
    average = {} if classes == 2 else {"average": "macro"}
    f1 = "f1_binary" if classes == 2 else "f1_macro"
    pairs = [
        (result["auroc"], tm.auroc(p, y, **task, **average)),
        (result["average_precision"], tm.average_precision(p, y, **task, **average)),
        (result[f1], tm.f1_score(p, y, **task, **average)),
    ]
    for ours, theirs in pairs:
        assert abs(ours - float(theirs)) < 1e-5, (ours, theirs)


def data(classes, rows, seed):
    random = np.random.default_rng(seed)
    shares = np.arange(classes, 0, -1.0)
    targets = random.choice(classes, rows, p=shares / shares.sum())
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[targets]
    weights = np.round(random.uniform(0.1, 3.0, rows), 3)
    return targets, logits, weights


def class_case(classes, rows, seed):
    targets, logits, weights = data(classes, rows, seed)
    parts = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probabilities = np.round(parts, 2)
    probabilities[:, 0] = np.abs(np.round(1.0 - probabilities[:, 1:].sum(1), 2))
    result = scores_of(targets, probabilities, None)
    by_torchmetrics(targets, probabilities, result)
    return {
        "probabilities": probabilities,
        "targets": targets,
        "weights": weights,
        "plain": result,
        "weighted": scores_of(targets, probabilities, weights),
    }


def logit_case(classes, rows, seed):
    targets, logits, weights = data(classes, rows, seed)
    logits = np.round(logits, 6)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    case = {"logits": logits, "targets": targets, "weights": weights}
    for name, given in [("plain", None), ("weighted", weights)]:
        result = scores_of(targets, probabilities, given)
        case[name] = {key: result[key] for key in ["auroc", "average_precision", "log_loss", "brier"]}
        for k in range(2, classes):
            case[name][f"top_{k}"] = sk.top_k_accuracy_score(
                targets, logits, k=k, sample_weight=given
            )
    return case


def or_null(score, *given, **options):
    """The score, with None for nan and for rows that it refuses."""
    try:
        found = np.asarray(score(*given, **options), dtype=float)
    except ValueError:
        return None
    return np.where(np.isnan(found), None, found)


def brier(targets, probabilities, **known):
    classes = probabilities.shape[1]
    if classes == 2:
        return sk.brier_score_loss(targets, probabilities[:, 1], pos_label=1, **known)
    return sk.brier_score_loss(targets, probabilities, labels=range(classes), **known)


def edge_case(targets, probabilities, seed=None, weights=None):
    """What classes without rows or weights, equal scores and certain predictions have."""
    targets = np.array(targets)
    probabilities = np.array(probabilities, dtype=float)
    classes = probabilities.shape[1]
    if weights is None:
        weights = np.round(np.random.default_rng(seed).uniform(0.1, 3.0, len(targets)), 3)
    weights = np.array(weights, dtype=float)
    case = {"probabilities": probabilities, "targets": targets, "weights": weights}
    predicted = probabilities.argmax(1)
    labels = range(classes)
    for name, given in [("plain", None), ("weighted", weights)]:
        known = {"sample_weight": given}
        rows = (targets, predicted)
        case[name] = {
            "accuracy": or_null(sk.accuracy_score, *rows, **known),
            "accuracy_macro": or_null(sk.balanced_accuracy_score, *rows, **known),
            "confusion_matrix": or_null(sk.confusion_matrix, *rows, labels=labels, **known),
            "log_loss": or_null(sk.log_loss, targets, probabilities, labels=labels, **known),
            "brier": or_null(brier, targets, probabilities, **known),
            "recall_none": or_null(
                sk.recall_score, *rows, labels=labels, average=None, zero_division=np.nan, **known
            ),
            "f1_none": or_null(
                sk.f1_score, *rows, labels=labels, average=None, zero_division=np.nan, **known
            ),
        }
        for average in ["micro", "macro", "weighted"] + (["binary"] if classes == 2 else []):
            options = {"average": average, "zero_division": 0, **known}
            case[name][f"precision_{average}"] = or_null(sk.precision_score, *rows, **options)
            case[name][f"recall_{average}"] = or_null(sk.recall_score, *rows, **options)
            case[name][f"f1_{average}"] = or_null(sk.f1_score, *rows, **options)
        if classes == 2:
            scores = probabilities[:, 1]
            case[name]["auroc"] = or_null(sk.roc_auc_score, targets, scores, **known)
            counts = np.ones(len(targets)) if given is None else given
            # Without positive rows, scikit-learn warns and puts 0.
            if counts[targets == 1].sum() > 0:
                case[name]["average_precision"] = or_null(
                    sk.average_precision_score, targets, scores, **known
                )
        elif given is None or given.sum() > 0:  # else, roc_auc_score puts 0 for weighted areas
            one_hot = np.eye(classes)[targets]
            case[name]["average_precision_weighted"] = or_null(
                sk.average_precision_score, one_hot, probabilities, average="weighted", **known
            )
            for average in ["macro", "weighted", "none"]:
                case[name]["auroc" if average == "macro" else f"auroc_{average}"] = or_null(
                    sk.roc_auc_score,
                    targets,
                    probabilities,
                    multi_class="ovr",
                    labels=labels,
                    average=None if average == "none" else average,
                    **known,
                )
    return case


def edge_cases():
    certain = np.eye(5)
    of_two = [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.1, 0.9]]
    nearly_certain = np.eye(3) * 0.6 + 0.4 / 3
    return [
        # Class 3 is predicted and has no rows; class 4 is neither.
        edge_case([0, 1, 2, 2, 0, 1, 1], certain[[0, 1, 2, 3, 1, 3, 1]] * 0.6 + 0.08, 11),
        # All rows are of one class, of two: of the other one, and of that which scores are of.
        edge_case([0, 0, 0], [[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]], 12),
        edge_case([1, 1, 1], [[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]], 13),
        # All scores are equal.
        edge_case([0, 1, 1, 0, 1], [[0.4, 0.6]] * 5, 14),
        # Certain predictions, of which one is wrong.
        edge_case([0, 1, 1, 0], [[1, 0], [0, 1], [1, 0], [1, 0]], 15),
        # One row, which is right or wrong.
        edge_case([1], [[0.2, 0.8]], 16),
        edge_case([0], [[0.2, 0.5, 0.3]], 17),
        # Rows of weight 0: all of class 2, which is predicted and has rows of other weights ...
        edge_case(
            [0, 1, 2, 2, 0, 1], nearly_certain[[0, 1, 0, 2, 2, 1]], weights=[1, 2, 0, 0, 0.5, 1.5]
        ),
        # ... or isn't predicted but by rows of weight 0; those of a class of two; and all rows.
        edge_case([0, 1, 2, 2, 0], nearly_certain[[0, 1, 2, 0, 1]], weights=[1, 2, 0, 0, 1]),
        edge_case([0, 1, 1, 0], of_two, weights=[1, 0, 0, 3]),
        edge_case([0, 1, 1, 0], of_two, weights=[0, 1, 2, 0]),
        edge_case([0, 1, 2], nearly_certain[[0, 1, 1]], weights=[0, 0, 0]),
    ]


def value_case(rows, outputs, seed):
    random = np.random.default_rng(seed)
    targets = np.round(random.normal(size=(rows, outputs)) + 3.0, 4)
    guesses = np.round(targets + 0.5 * random.normal(size=(rows, outputs)), 4)
    weights = np.round(random.uniform(0.1, 3.0, rows), 3)
    case = {"predictions": guesses, "targets": targets, "weights": weights}
    for name, given in [("plain", None), ("weighted", weights)]:
        case[name] = {
            "mse": sk.mean_squared_error(targets, guesses, sample_weight=given),
            "mae": sk.mean_absolute_error(targets, guesses, sample_weight=given),
            "r2": sk.r2_score(targets, guesses, sample_weight=given),
        }
    return case


def value_edge(targets, guesses, weights):
    targets, guesses = np.array(targets), np.array(guesses)
    case = {"predictions": guesses, "targets": targets, "weights": np.array(weights, dtype=float)}
    for name, given in [("plain", None), ("weighted", case["weights"])]:
        scores = {"mse": sk.mean_squared_error, "mae": sk.mean_absolute_error, "r2": sk.r2_score}
        case[name] = {
            key: or_null(score, targets, guesses, sample_weight=given)
            for key, score in scores.items()
        }
    return case


def value_edges():
    return [
        # One row, which is right or wrong, of one output and of two.
        value_edge([1.5], [1.5], [2.0]),
        value_edge([1.5], [1.0], [0.5]),
        value_edge([[1.5, 2.0]], [[1.5, 2.5]], [3.0]),
        # Two rows, of which one has weight 0, and the other is right or wrong; and both have it.
        value_edge([1.0, 2.0], [1.0, 2.5], [1.0, 0.0]),
        value_edge([1.0, 2.0], [1.25, 2.5], [1.0, 0.0]),
        value_edge([1.0, 2.0], [1.25, 2.5], [0.0, 0.0]),
        # Targets that are all the same, and predicted rightly or wrongly.
        value_edge([3.0] * 4, [3.0] * 4, [1.0, 2.0, 0.5, 1.5]),
        value_edge([3.0] * 4, [3.0, 3.0, 3.5, 3.0], [1.0, 2.0, 0.5, 1.5]),
        # One output of two is constant, and each is wrong once.
        value_edge([[3.0, 1.0], [3.0, 2.0], [3.0, 4.0]], [[3, 1.5], [3.5, 2], [3, 4.0]], [1, 2, 3]),
        # Predictions that are all the same.
        value_edge([1.0, 2.0, 4.0], [2.0] * 3, [1.0, 2.0, 3.0]),
    ]


def main():
    warnings.filterwarnings("ignore", module="sklearn")  # that a score can't be computed
    emit(
        __doc__.strip(),
        classes=[class_case(2, 40, 1), class_case(3, 50, 2), class_case(5, 60, 3)],
        edges=edge_cases(),
        logits=[logit_case(2, 30, 4), logit_case(4, 40, 5)],
        values=[value_case(20, 1, 6), value_case(20, 3, 7)],
        value_edges=value_edges(),
    )


if __name__ == "__main__":
    main()
