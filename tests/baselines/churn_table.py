"""Prints examples/data/churn.csv: 400 customers of an invented company, a fifth of whom leave.

    python tests/baselines/churn_table.py > examples/data/churn.csv

It has what such tables have: a key, dates, numbers and categories with missing cells (empty, NA or
?), rare values, texts with quotes and commas, and few rows of one class.
"""

import csv
import datetime
import io
import math
import random

ROWS = 400
HEADER = [
    "customer",
    "signup",
    "tenure",
    "monthly_fee",
    "support_calls",
    "plan",
    "region",
    "payment",
    "comment",
    "churn",
]
FEES = {"basic": 12.0, "plus": 25.0, "premium": 48.0}
REGIONS = ["North", "South", "East", 'West, "old town"', "West, harbour", "Ísafjörður"]
COMMENTS = ["", "asked for a discount", 'said "too slow", twice', "moved, new address", "happy"]


def customer(number, draw):
    tenure = int(draw.expovariate(1 / 20.0)) + 1
    plan = draw.choices(list(FEES), [5, 3, 2])[0]
    calls = min(9, int(draw.expovariate(1 / 1.5)))
    fee = round(FEES[plan] + draw.gauss(0.0, 3.0), 2)
    region = draw.choices(REGIONS, [30, 25, 20, 12, 12, 1])[0]
    payment = draw.choices(["card", "invoice", "transfer", ""], [6, 3, 2, 1])[0]
    logit = 0.9 * calls - 0.06 * tenure + (0.8 if plan == "basic" else -0.6) - 2.0
    leaves = draw.random() < 1.0 / (1.0 + math.exp(-logit))
    signup = datetime.date(2024, 6, 30) - datetime.timedelta(days=30 * tenure + draw.randrange(30))
    fee_text = draw.choices([f"{fee:.2f}", "NA", ""], [18, 1, 1])[0]
    calls_text = draw.choices([str(calls), "?"], [9, 1])[0]
    comment = draw.choice(COMMENTS)
    row = [f"C{number:05d}", signup.isoformat(), tenure, fee_text, calls_text, plan, region, payment]
    return row + [comment, "yes" if leaves else "no"]


def churn_table():
    """The text of the file."""
    draw = random.Random(20240630)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for i in range(ROWS):
        writer.writerow(customer(10000 + 7 * i, draw))
    return out.getvalue()


if __name__ == "__main__":
    print(churn_table(), end="")
