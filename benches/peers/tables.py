#!/usr/bin/env python3
"""Tables, and scikit-learn's multi-layer perceptrons on them.

    python tables.py --write FOLDER                  the five tables as CSV files, with a column `fold` of ten folds
    python tables.py --score FOLDER iris             the cross-validated score of MLPClassifier or MLPRegressor, as JSON

Numbers are filled in by the median, with indicators, and standardised; categories are one-hot; targets of a regression are
standardised. All other settings are scikit-learn's. Times are CPU seconds of all fits and predictions.
"""
import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas
import sklearn
from sklearn import datasets
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

PENGUINS = Path(__file__).resolve().parent.parent.parent / "examples/data/penguins.csv"
# Table: the column to predict, and whether it is a class.
TARGETS = {"iris": ("species", True), "digits": ("digit", True), "diabetes": ("progression", False),
           "friedman": ("y", False), "penguins": ("species", True)}


def table(name):
    if name == "penguins":
        return pandas.read_csv(PENGUINS)
    if name == "friedman":
        # As many rows and columns as the table of California's houses, but by a formula: Friedman #1, whose noise
        # has the standard deviation 1, and three columns that mean nothing.
        x, y = datasets.make_friedman1(20640, 8, noise=1.0, random_state=0)
        return pandas.DataFrame(x, columns=[f"x{i}" for i in range(8)]).assign(y=y)
    load = {"iris": datasets.load_iris, "digits": datasets.load_digits, "diabetes": datasets.load_diabetes}[name]
    data = load()
    frame = pandas.DataFrame(data.data, columns=[str(column) for column in data.feature_names])
    target = data.target_names[data.target] if name == "iris" else data.target
    return frame.assign(**{TARGETS[name][0]: target})


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (target, is_class) in TARGETS.items():
        frame = table(name)
        folds = (StratifiedKFold if is_class else KFold)(10, shuffle=True, random_state=0)
        fold = np.empty(len(frame), int)
        for i, (_, rows) in enumerate(folds.split(frame, frame[target])):
            fold[rows] = i
        frame.assign(fold=fold).to_csv(folder / f"{name}.csv", index=False)


def model(frame, is_class):
    texts = [column for column in frame if frame[column].dtype.kind not in "biuf"]
    numbers = [column for column in frame if column not in texts]
    prepare = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
        ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
    ])
    if is_class:
        return make_pipeline(prepare, MLPClassifier(random_state=0))
    return TransformedTargetRegressor(make_pipeline(prepare, MLPRegressor(random_state=0)), transformer=StandardScaler())


def score(folder, name):
    target, is_class = TARGETS[name]
    frame = pandas.read_csv(folder / f"{name}.csv")
    folds, targets = frame.pop("fold"), frame.pop(target)
    scores, start = [], time.process_time()
    for fold in range(10):
        train, test = folds != fold, folds == fold
        fitted = model(frame, is_class).fit(frame[train], targets[train])
        scores.append(fitted.score(frame[test], targets[test]))
    seconds = time.process_time() - start
    error = np.std(scores, ddof=1) / np.sqrt(len(scores))
    return {"peer": f"scikit-learn {sklearn.__version__}", "table": name, "score": float(np.mean(scores)),
            "standard_error": float(error), "seconds": seconds, "scores": [float(s) for s in scores]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--score", nargs=2)
    args = parser.parse_args()
    # It ends with a warning that it has not converged.
    warnings.filterwarnings("ignore")
    if args.write:
        write(args.write)
    if args.score:
        print(json.dumps(score(Path(args.score[0]), args.score[1])))


main()
