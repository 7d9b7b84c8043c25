"""A table's columns as scikit-learn makes inputs of them, in float64: tables.json.

`csv` is the table. `inputs` are the rows of the network's inputs, flat, in the order of `names`: numbers standardised after
gaps were filled in with the median (`mean_inputs`: the mean), each with an indicator where some are missing, and categories
one-hot with those of fewer than 3 rows as one, and those that are missing as one.
"""

import io
import json

import numpy as np
import pandas
import sklearn
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

random = np.random.default_rng(0)
ROWS = 40
age = random.integers(18, 80, ROWS).astype(object)
age[[3, 17, 30]] = ""
# Seconds since 1970, which an f32 does not tell apart.
time = 1_700_000_000 + random.integers(0, 1000, ROWS)
fuel = random.choice(["gas", "oil", "wood"], ROWS).astype(object)
fuel[[5, 9]] = "coal"
fuel[20] = "peat"
fuel[[1, 2, 28]] = "NA"
sunny = random.choice(["True", "False"], ROWS)
price = np.round(random.normal(300, 50, ROWS), 2)
frame = pandas.DataFrame({"age": age, "time": time, "fuel": fuel, "sunny": sunny, "price": price})
csv = frame.to_csv(index=False)
read = pandas.read_csv(io.StringIO(csv))


def inputs(strategy):
    columns, names = [], []
    for name in ["age", "time"]:
        values = read[[name]].to_numpy(float)
        columns.append(StandardScaler().fit_transform(SimpleImputer(strategy=strategy).fit_transform(values)))
        names.append(name)
        if np.isnan(values).any():
            columns.append(MissingIndicator().fit_transform(values).astype(float))
            names.append(f"{name} is missing")
    fuel = read[["fuel"]].astype(object)
    missing = fuel["fuel"].isna().to_numpy()
    encoder = OneHotEncoder(min_frequency=3, handle_unknown="infrequent_if_exist", sparse_output=False)
    encoder.fit(fuel[~missing])
    one_hot = np.zeros((ROWS, len(encoder.get_feature_names_out())))
    one_hot[~missing] = encoder.transform(fuel[~missing])
    columns += [one_hot, missing[:, None].astype(float)]
    kept = [str(name).removeprefix("fuel_") for name in encoder.get_feature_names_out()]
    names += [f"fuel={name}" if name != "infrequent_sklearn" else "fuel is rare" for name in kept] + ["fuel is missing"]
    columns.append(StandardScaler().fit_transform(read[["sunny"]].to_numpy(float)))
    names.append("sunny")
    return np.hstack(columns), names


by_median, names = inputs("median")
by_mean, _ = inputs("mean")
targets = StandardScaler().fit_transform(read[["price"]])
with open("tables.json", "w") as file:
    flat = {"names": names, "inputs": by_median.ravel().tolist(), "mean_inputs": by_mean.ravel().tolist(),
            "targets": targets.ravel().tolist()}
    json.dump({"sklearn": sklearn.__version__, "pandas": pandas.__version__, "csv": csv, **flat}, file, indent=1)
    file.write("\n")
