//! Models of tables: what becomes of columns, by pandas and scikit-learn; that they learn; their files; what they refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use std::path::{Path, PathBuf};

use common::{assert_same_bits, list, numbers, oracle, text};
use wgrad::data::{Csv, Dataset, Table};
use wgrad::metrics::{Decision, accuracy};
use wgrad::table::{Classifier, Folds, Impute, Regressor, Settings, Unknown};
use wgrad::{Device, ErrorKind};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("table-{name}.safetensors"))
}

fn table(csv: &str) -> Table {
    Table::read_from(csv.as_bytes()).unwrap()
}

/// To predict this column, without losing time.
fn quick(target: &str) -> Settings {
    Settings::new(target).epochs(1).members(1).hidden_layer_sizes([4])
}

fn penguins() -> Table {
    Table::read("examples/data/penguins.csv").unwrap()
}

#[test]
fn inputs_are_those_of_scikit_learn() {
    let file = oracle("tables.json");
    let table = table(text(&file["csv"]));
    for (impute, expected) in [(Impute::Median, "inputs"), (Impute::Mean, "mean_inputs")] {
        let settings = quick("price").min_frequency(3).impute(impute);
        let model = Regressor::fit(&Device::cpu(), &table, settings).unwrap();
        let names: Vec<_> = list(&file["names"]).iter().map(text).collect();
        assert_eq!(model.input_names(), names);
        let data = model.transform(&table).unwrap();
        for (found, expected) in [(data.inputs(), &file[expected]), (data.targets(), &file["targets"])] {
            let expected = numbers(expected);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                // Seconds near 1.7e9 are rounded to 2^-22 in f64, their mean by that of 40, and divided by more than 100;
                // then all is rounded to an f32.
                let bound = expected.abs() * f64::from(f32::EPSILON) / 2.0 + 40.0 * 2f64.powi(-22) / 100.0;
                assert!((f64::from(*found) - expected).abs() <= bound, "{found}, not {expected}");
            }
        }
    }
}

#[test]
fn columns_are_told_apart() {
    let row = |i: usize| {
        let kind = ["fair", "good", ""][i % 3];
        format!("{i},{},{},2020-01-{:02},note {i},5,x,{kind},{},,{i}\n", i % 4, i * i, 1 + i % 28, ["yes", "no"][i % 2])
    };
    let header = "id,class,square,day,note,five,letter,kind,flag,nothing,y\n";
    let table = table(&(header.to_string() + &(0..60).map(row).collect::<String>()));
    let settings = quick("y").categories(["class"]).ignore(["flag"]);
    let model = Regressor::fit(&Device::cpu(), &table, &settings).unwrap();
    let names = ["class=0", "class=1", "class=2", "class=3", "square", "kind=fair", "kind=good", "kind is missing"];
    assert_eq!(model.input_names(), names);
    let summary = model.summary();
    for line in [
        "regressor of y, fitted to 60 rows",
        "id            0  left out: the numbers of the rows",
        "class         4  categories 0, 1, 2, 3",
        "square        1  number, mean 1170.2, standard deviation 1056.4",
        "day           0  left out: dates or times",
        "note          0  left out: most rows have a text of their own",
        "five          0  left out: all values are 5",
        "letter        0  left out: all values are 'x'",
        "kind          3  categories fair, good; 20 missing",
        "flag          0  left out: ignored",
        "nothing       0  left out: all values are missing",
    ] {
        assert!(summary.contains(line), "{line}\n{summary}");
    }
    // An ignored column may be missing.
    let row = Table::from_row([("class", "1"), ("square", "9"), ("kind", "")]).unwrap();
    assert_eq!(model.predict(&row).unwrap().len(), 1);
}

#[test]
fn what_can_not_be_learnt_says_where_and_what_to_do() {
    let device = Device::cpu();
    let rows = |csv: &str| csv.to_string();
    let regress = |csv: String| Regressor::fit(&device, &table(&csv), quick("y")).unwrap_err().to_string();
    let classify = |csv: String| Classifier::fit(&device, &table(&csv), quick("y")).unwrap_err().to_string();
    for (error, parts) in [
        (regress(rows("a,y\n1,2\n3,\n")), vec!["line 3, column 'y'", "missing", "Table::drop_missing"]),
        (
            regress(rows("a,y\n1,2\n3,low\n")),
            vec!["line 3, column 'y': 'low' is not a number", "take a Classifier if the column holds classes"],
        ),
        (regress(rows("a,b\n1,2\n3,4\n")), vec!["there is no column 'y'; there are a, b"]),
        (regress(rows("a,y\n1,2\n3,2\n")), vec!["all values of column 'y' are 2"]),
        (regress(rows("a,y\n1,2\n1,3\n")), vec!["no column is left to predict from (a: all values are 1)"]),
        (
            regress(rows("a,y\n1,2\n2,3\n3,3\n4x,1\n")),
            vec!["line 5, column 'a': '4x' is not a number", "categories([\"a\"])"],
        ),
        (
            regress(rows("a,y\n\"1,200\",2\n\"2,100\",3\n700,3\n")),
            vec!["line 2, column 'a': '1,200'", "thousands(',')"],
        ),
        (regress(rows("a,y\n$5,2\n$6,3\n$7,3\n")), vec!["line 2, column 'a': '$5'", "remove \"$\""]),
        (regress(rows("a,y\n1,2\ninf,3\n3,4\n")), vec!["line 3, column 'a': 'inf' is infinite"]),
        (classify(rows("a,y\n1,yes\n2,NA\n3,no\n")), vec!["line 3, column 'y': the label is missing"]),
        (classify(rows("a,y\n1,yes\n2,yes\n")), vec!["all rows are of the class yes"]),
        (classify(rows("a,y\n1,0.5\n2,0.7\n")), vec!["line 2", "'0.5' is a fraction", "Regressor"]),
    ] {
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    // Numbers that never were text.
    let infinite = vec![1.0, f64::INFINITY, 3.0];
    for (column, other) in [("a", "y"), ("y", "a")] {
        let numbers = Table::new().with_column(column, infinite.clone()).unwrap();
        let numbers = numbers.with_column(other, vec![2.0, 3.0, 5.0]).unwrap();
        let error = Regressor::fit(&device, &numbers, quick("y")).unwrap_err().to_string();
        assert!(error.contains(&format!("row 1, column '{column}': inf is infinite; correct it")), "{error}");
    }
    let known = table("a,y\n1,yes\n2,NA\n3,no\n").drop_missing("y").unwrap();
    let known = Classifier::fit(&device, &known, quick("y")).unwrap();
    assert!(known.summary().contains("fitted to 2 rows"));
    let data = table("a,y\n1,2\n2,3\n3,1\n");
    for (settings, part) in [
        (quick("y").validation_fraction(1.0), "validation_fraction of 1"),
        (quick("y").members(0), "0 members"),
        (quick("y").hidden_layer_sizes([8, 0]), "hidden layer of 0"),
        (quick("y").epochs(0), "0 epochs"),
        (quick("y").batch_size(0), "batch size of 0"),
        (quick("y").dropout(1.5), "dropout"),
        (quick("y").learning_rate(-1.0), "learning rate"),
        (quick("y").balanced(true), "balanced"),
        (quick("y").max_categories(0), "max_categories"),
        (quick("y").ignore(["z"]), "no column 'z'"),
    ] {
        let error = Regressor::fit(&device, &data, settings).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn rows_that_do_not_fit_the_model_say_why() {
    let model = Classifier::fit(&Device::cpu(), &penguins(), quick("species")).unwrap();
    let row = |island: &str, bill: &str| {
        let values =
            [("island", island), ("bill_length_mm", bill), ("bill_depth_mm", ""), ("flipper_length_mm", "200")];
        let more = [("body_mass_g", "4000"), ("sex", "male"), ("year", "2008")];
        Table::from_row(values.into_iter().chain(more)).unwrap()
    };
    model.predict(&row("Dream", "40")).unwrap();
    for (row, parts) in [
        (row("Elba", "40"), ["row 0, column 'island': 'Elba' is unknown", "Biscoe, Dream, Torgersen", "Unknown::Rare"]),
        (row("", "40"), ["row 0, column 'island': the value is missing, which it never was", "Dream", "correct it"]),
        (
            row("Dream", "long"),
            [
                "row 0, column 'bill_length_mm': 'long' is not a number",
                "correct it",
                "leave it empty if it is not known",
            ],
        ),
        (row("Dream", "1e300"), ["row 0, column 'bill_length_mm'", "too far from the others", "correct it"]),
        (
            row("Dream", "40").without(["sex"]).unwrap(),
            ["no column 'sex'", "there are island, bill", "leave them empty"],
        ),
    ] {
        let error = model.predict(&row).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for part in parts {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
    let error = model.score(&row("Dream", "40")).unwrap_err().to_string();
    assert!(error.contains("no column 'species'"), "{error}");
    let lenient = model.unknown_categories(Unknown::Rare);
    assert_eq!(lenient.predict(&row("Elba", "40")).unwrap().len(), 1);
    // By name, whatever stands beside and in whichever order.
    let reversed: Vec<_> = row("Dream", "40").names().iter().rev().cloned().collect();
    let values = |name: &String| row("Dream", "40").column(name.as_str()).unwrap().clone();
    let other = reversed.iter().try_fold(Table::new(), |table, name| table.with_column(name, values(name))).unwrap();
    let other = other.with_column("more", vec![1.0]).unwrap();
    let both = [row("Dream", "40"), other].map(|row| lenient.predict_proba(&row).unwrap());
    assert_same_bits("columns in another order", &both[0], &both[1]);
}

#[test]
fn tables_are_learnt() {
    let device = Device::cpu();
    let (train, test) = penguins().split_stratified("species", 0.75, 1).unwrap();
    let model = Classifier::fit(&device, &train, "species").unwrap();
    assert!(model.score(&test).unwrap() > 0.95);
    assert_eq!(model.confusion_matrix(&test).unwrap().names(), ["Adelie", "Chinstrap", "Gentoo"]);
    let probabilities = model.predict_proba(&test).unwrap();
    assert_eq!(probabilities.len(), 3 * test.len());
    assert!(probabilities.chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    let data = model.transform(&test).unwrap();
    assert_eq!(accuracy(&probabilities, &data, Decision::Argmax).unwrap(), model.score(&test).unwrap());
    let importance = model.permutation_importance(&test, 3, 0).unwrap();
    assert_eq!(importance.len(), 7);
    assert_eq!(importance[0].column, "bill_length_mm", "{importance:?}");
    assert_eq!(model.permutation_importance(&test, 3, 0).unwrap(), importance);

    // A number far from 0, as seconds since 1970: it comes back in its own unit.
    let x: Vec<f64> = (0..300).map(|i| f64::from(i) / 30.0).collect();
    let y = x.iter().map(|x| 1.7e9 + 100.0 * x.sin()).collect::<Vec<_>>();
    let noise: Vec<f64> = (0..300).map(|i| f64::from(i * 7919 % 300)).collect();
    let waves = Table::new().with_column("x", x).unwrap().with_column("noise", noise).unwrap();
    let waves = waves.with_column("y", y).unwrap();
    let (train, test) = waves.split(0.8, 0).unwrap();
    let model = Regressor::fit(&device, &train, Settings::new("y").epochs(200)).unwrap();
    let score = model.score(&test).unwrap();
    assert!(score > 0.9, "{score}");
    assert!(model.residuals(&test).unwrap().iter().all(|residual| residual.abs() < 150.0));
    assert_eq!(model.permutation_importance(&test, 2, 0).unwrap()[0].column, "x");
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let table = penguins();
    let fit = |seed| {
        let settings = Settings::new("species").epochs(3).seed(seed);
        Classifier::fit(&Device::cpu(), &table, settings).unwrap().predict_proba(&table).unwrap()
    };
    assert_same_bits("twice", &fit(1), &fit(1));
    assert_ne!(fit(1), fit(2));
}

#[test]
fn rows_of_weight_0_do_not_count() {
    let device = Device::cpu();
    let x: Vec<f64> = (0..80).map(|i| f64::from(i % 40)).collect();
    // Where the first half says x, the second says -x.
    let y: Vec<f64> = (0..80).map(|i| if i < 40 { f64::from(i) } else { f64::from(40 - i) }).collect();
    let weights: Vec<f64> = (0..80).map(|i| f64::from(u8::from(i < 40))).collect();
    let rows = Table::new().with_column("x", x).unwrap().with_column("y", y).unwrap();
    let weighed = rows.clone().with_column("weight", weights).unwrap();
    let settings = Settings::new("y").hidden_layer_sizes([]).learning_rate(0.1).weight_decay(0.0);
    let slope = |model: &Regressor| {
        let at = |x: f64| model.predict(&Table::from_row([("x", x)]).unwrap()).unwrap()[0];
        at(30.0) - at(10.0)
    };
    let model = Regressor::fit(&device, &weighed, settings.clone().weights("weight")).unwrap();
    assert!((slope(&model) - 20.0).abs() < 1.0, "{}", slope(&model));
    let model = Regressor::fit(&device, &rows, &settings).unwrap();
    assert!(slope(&model).abs() < 4.0, "{}", slope(&model));
    let error =
        Regressor::fit(&device, &rows.with_column("weight", vec![-1.0; 80]).unwrap(), settings.weights("weight"));
    assert!(error.unwrap_err().to_string().contains("row 0, column 'weight': this is no weight"));
}

#[test]
fn scores_of_all_parts() {
    let device = Device::cpu();
    let table = penguins();
    let settings = Settings::new("species").epochs(20).members(1);
    let folds = Classifier::cross_validate(&device, &table, &settings, Folds::new(3)).unwrap();
    assert_eq!(folds.scores.len(), 3);
    assert!(folds.mean > 0.9 && folds.standard_error < 0.05, "{folds}");
    assert_eq!(folds, Classifier::cross_validate(&device, &table, &settings, Folds::new(3)).unwrap());
    // Each island is a part of its own, so that the others don't know it.
    let islands = Classifier::cross_validate(&device, &table, &settings, Folds::new(3).grouped("island")).unwrap();
    assert_eq!(islands.scores.len(), 3);
    let years = Folds::new(3).grouped("year");
    assert_eq!(Regressor::cross_validate(&device, &table, quick("year"), Folds::new(2)).unwrap().scores.len(), 2);
    let weighed = table.drop_missing("body_mass_g").unwrap();
    assert_eq!(weighed.len(), 342);
    assert_eq!(Regressor::cross_validate(&device, &weighed, quick("body_mass_g"), years).unwrap().scores.len(), 3);
    let error =
        Classifier::cross_validate(&device, &table, quick("species"), Folds::new(3).grouped("sex")).unwrap_err();
    assert!(error.to_string().contains("line 5, column 'sex': the group is missing"), "{error}");
}

#[test]
fn a_file_holds_all_that_predictions_need() {
    let device = Device::cpu();
    let (classes, values) = (path("classes"), path("values"));
    let table = penguins();
    let classifier = Classifier::fit(&device, &table, quick("species").members(3)).unwrap();
    classifier.save(&classes).unwrap();
    let loaded = Classifier::load(&device, &classes).unwrap();
    assert_same_bits("loaded", &loaded.predict_proba(&table).unwrap(), &classifier.predict_proba(&table).unwrap());
    assert_eq!((loaded.summary(), loaded.classes()), (classifier.summary(), classifier.classes()));
    let bytes = std::fs::read(&classes).unwrap();
    let embedded = Classifier::from_bytes(&device, &bytes).unwrap();
    assert_eq!(embedded.predict(&table).unwrap(), classifier.predict(&table).unwrap());
    let regressor = Regressor::fit(&device, &table, quick("year")).unwrap();
    regressor.save(&values).unwrap();
    assert_eq!(Regressor::load(&device, &values).unwrap().predict(&table).unwrap(), regressor.predict(&table).unwrap());
    let error = Classifier::load(&device, &values).unwrap_err().to_string();
    assert!(error.contains("it holds a Regressor; load it with Regressor::load"), "{error}");
    let error = Regressor::load(&device, &classes).unwrap_err().to_string();
    assert!(error.contains("it holds a Classifier"), "{error}");
    let error = Classifier::load(&device, "examples/data/iris.csv").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    let plain = path("plain");
    let model = wgrad::nn::Sequential::new().add(wgrad::nn::Linear::new(2, 1));
    wgrad::nn::Predictor::new(&device, model).unwrap().parameters().save(&plain).unwrap();
    let error = Classifier::load(&device, &plain).unwrap_err().to_string();
    assert!(error.contains("it holds no table's columns"), "{error}");
}

#[test]
fn damaged_and_hostile_files_are_errors() {
    let device = Device::cpu();
    let table = penguins();
    let whole = path("whole");
    Classifier::fit(&device, &table, quick("species")).unwrap().save(&whole).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    for len in (0..bytes.len()).step_by(7) {
        assert!(Classifier::from_bytes(&device, &bytes[..len]).is_err(), "{len}");
    }
    // Any byte of the header changed: an error, or a model that predicts or says why it does not.
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in 0..8 + header {
        for change in [1, 0x20, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            if let Ok(model) = Classifier::from_bytes(&device, &damaged) {
                let _ = model.predict(&table);
            }
        }
    }
    // Texts of the same length, so that the header's length and the tensors' places still hold.
    let text = std::str::from_utf8(&bytes[8..8 + header]).unwrap();
    for (from, to, part) in [
        ("\\\"version\\\":1", "\\\"version\\\":2", "version 2"),
        ("\\\"kind\\\":\\\"number\\\"", "\\\"kind\\\":\\\"nomber\\\"", "of the kind"),
        ("\\\"Gentoo\\\"", "\\\"Adelie\\\"", "classes has 'Adelie' twice"),
        ("\\\"missing\\\":2", "\\\"missing\\\":0", "does not fit its columns"),
        ("\\\"missing\\\":2", "\\\"missing\\\":-", "no JSON"),
        ("Linear(15, 4)", "Linear(99, 4)", "weight"),
    ] {
        assert!(text.contains(from), "{from}\n{text}");
        let damaged = [&bytes[..8], text.replacen(from, to, 1).as_bytes(), &bytes[8 + header..]].concat();
        let error = Classifier::from_bytes(&device, &damaged).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn tables_from_memory_are_those_from_text() {
    let data = Dataset::from_rows(&[[1.0, 2.5], [3.0, 4.0]], &[[1.0], [0.0]]).unwrap();
    assert_eq!(Table::from_dataset(&data).unwrap().to_csv(), "x0,x1,y\n1,2.5,1\n3,4,0\n");
    let named = Table::from_dataset(&data.with_class_names(["no", "a \"yes\", or so"])).unwrap();
    assert_eq!(named.to_csv(), "x0,x1,y\n1,2.5,\"a \"\"yes\"\", or so\"\n3,4,no\n");
    assert_eq!(table(&named.to_csv()).to_csv(), named.to_csv());
    let error = Table::new().with_column("a", vec![1.0]).unwrap().with_column("a", vec![2.0]).unwrap_err();
    assert!(error.to_string().contains("several columns 'a'"), "{error}");
    let error = Table::new().with_column("a", vec![1.0]).unwrap().with_column("b", vec!["x", "y"]).unwrap_err();
    assert!(error.to_string().contains("2 values for 1 rows"), "{error}");
    assert_eq!(penguins().without(["sex", "year"]).unwrap().names().len(), 6);
    assert!(penguins().select(&[344]).is_err() && penguins().select(&[]).is_err());
    let error = table("a,y\n1,x\n2,x\n3,z\n4,x\n").split_stratified("y", 0.5, 0).unwrap_err().to_string();
    assert!(error.contains("'z' has a single row"), "{error}");
}

#[test]
fn files_that_are_no_plain_tables_say_how_to_read_them() {
    let fails = |csv: &str| Table::read_from(csv.as_bytes()).unwrap_err().to_string();
    for (csv, part) in [
        ("a;b\n1;2\n", "delimiter(';')"),
        ("# made in May\na,b\n1,2\n", "comment('#')"),
        ("1,2\n3,4\n", "header(true) or header(false)"),
        ("a,b\n1\n", "line 2: 1 values, but line 1 has 2"),
        ("a,b\n", "no rows below"),
        ("a,a\n1,2\n", "several columns 'a'"),
        ("a,b\n1,\"2\n", "never closed"),
        ("", "empty"),
    ] {
        assert!(fails(csv).contains(part), "{csv}: {}", fails(csv));
    }
    let plain = Csv::any().header(false).ignore([1]).table_from("1,2\n3,4\n".as_bytes()).unwrap();
    assert_eq!(plain.to_csv(), "0\n1\n3\n");
    assert!(Csv::any().read_from("a,b\n1,2\n".as_bytes()).unwrap_err().to_string().contains("Csv::values"));
}
