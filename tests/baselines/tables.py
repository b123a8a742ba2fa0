"""examples/data/churn.csv as features, by pandas and scikit-learn's ColumnTransformer.

The transformers are fitted on the rows that `is_training` names, and applied to all. Of the
matrix, `rows` has every fifth row, by its number from 0, and `sums` the sums of the columns over
all rows. Compare to 1e-6.
"""

import io
import pathlib

import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, OneHotEncoder, StandardScaler

from churn_table import churn_table
from common import emit

FILE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "data" / "churn.csv"
NUMBERS = ["tenure", "monthly_fee", "support_calls"]
TEXTS = ["plan", "region", "payment"]


def is_training(row):
    return row % 4 != 1 and row != 0


def steps(*transformers):
    return Pipeline([(f"step_{i}", each) for i, each in enumerate(transformers)])


def with_indicator(transformer):
    indicator = MissingIndicator(features="missing-only", error_on_new=False)
    return FeatureUnion([("number", transformer), ("gap", indicator)])


def one_hot(**settings):
    return OneHotEncoder(sparse_output=False, **settings)


def hashed(columns):
    as_lists = FunctionTransformer(lambda table: [[text] for text in table.iloc[:, 0]])
    hasher = FeatureHasher(n_features=columns, input_type="string", alternate_sign=False)
    return steps(as_lists, hasher)


def result(name, table, target, transformers):
    training = [row for row in range(len(table)) if is_training(row)]
    chosen = ColumnTransformer(
        [(column, each, [column]) for column, each in transformers.items()], sparse_threshold=0.0
    )
    chosen.fit(table.iloc[training])
    matrix = np.asarray(chosen.transform(table), dtype=np.float64)
    classes = LabelEncoder().fit(target.iloc[training])
    return {
        "name": name,
        "width": matrix.shape[1],
        "sums": matrix.sum(axis=0),
        "rows": {str(row): matrix[row] for row in range(0, len(table), 5)},
        "classes": list(classes.classes_),
        "targets": int(classes.transform(target).sum()),
    }


def cases(table, target):
    frequent = SimpleImputer(strategy="most_frequent")
    scaled = with_indicator(steps(SimpleImputer(strategy="mean"), StandardScaler()))
    yield result(
        "mean, indicator, standardized; most frequent text, one-hot, unknown ignored",
        table,
        target,
        {column: scaled for column in NUMBERS}
        | {column: steps(frequent, one_hot(handle_unknown="ignore")) for column in TEXTS},
    )
    rare = one_hot(min_frequency=12, handle_unknown="infrequent_if_exist")
    yield result(
        "median, standardized; missing texts a category, rare and unknown ones a column",
        table,
        target,
        {column: steps(SimpleImputer(strategy="median"), StandardScaler()) for column in NUMBERS}
        | {"region": rare, "payment": one_hot()},
    )
    yield result(
        "most frequent number, constant; hashed",
        table,
        target,
        {
            "monthly_fee": SimpleImputer(strategy="constant", fill_value=-1.5),
            "support_calls": SimpleImputer(strategy="most_frequent"),
            "region": hashed(8),
        },
    )


def main():
    text = churn_table()
    if FILE.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{FILE} isn't what churn_table.py prints; write it anew")
    table = pd.read_csv(io.StringIO(text), na_values=["?"])
    for column in TEXTS:
        table[column] = table[column].astype(object).where(table[column].notna(), np.nan)
    sklearn.set_config(transform_output="default")
    emit(
        __doc__.strip(),
        training_rows=sum(map(is_training, range(len(table)))),
        cases=list(cases(table, table["churn"])),
    )


if __name__ == "__main__":
    main()
