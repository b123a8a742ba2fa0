"""Log-loss, accuracy, recall of each class and area under the ROC curve, by scikit-learn.

Probabilities of "cases" are rounded to two digits, so that many are equal; those of "logit_cases"
are the softmax of the logits. Compare to 1e-12.
"""

import numpy as np
from sklearn.metrics import accuracy_score, log_loss, recall_score, roc_auc_score

from common import emit


def case(classes, rows, seed):
    random = np.random.default_rng(seed)
    shares = np.arange(classes, 0, -1.0)
    targets = random.choice(classes, rows, p=shares / shares.sum())
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[targets]
    parts = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probabilities = np.round(parts, 2)
    probabilities[:, 0] = np.abs(np.round(1.0 - probabilities[:, 1:].sum(1), 2))
    is_binary = classes == 2
    # Of equally likely classes both take the lower.
    predicted = probabilities.argmax(1)
    scores = probabilities[:, 1] if is_binary else probabilities
    return {
        "probabilities": probabilities,
        "targets": targets,
        "log_loss": float(log_loss(targets, probabilities)),
        "accuracy": float(accuracy_score(targets, predicted)),
        "recalls": recall_score(targets, predicted, average=None),
        "roc_auc": float(
            roc_auc_score(targets, scores)
            if is_binary
            else roc_auc_score(targets, scores, multi_class="ovr", average="macro")
        ),
    }


def logit_case(classes, rows, seed):
    random = np.random.default_rng(seed)
    targets = random.choice(classes, rows)
    logits = np.round(random.normal(size=(rows, classes)) + np.eye(classes)[targets], 6)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    scores = probabilities[:, 1] if classes == 2 else probabilities
    return {
        "logits": logits,
        "targets": targets,
        "recalls": recall_score(targets, logits.argmax(1), average=None),
        "roc_auc": float(roc_auc_score(targets, scores, multi_class="ovr", average="macro")),
    }


def main():
    emit(
        __doc__.strip(),
        cases=[case(2, 40, 1), case(3, 60, 2), case(5, 80, 3)],
        logit_cases=[logit_case(2, 40, 4), logit_case(4, 60, 5)],
    )


if __name__ == "__main__":
    main()
