//! Tables as they are read: columns, labels, headers, missing values.

use wgrad::data::{Csv, Dataset, Missing, Standardize};

pub(crate) fn read(csv: Csv, table: &str) -> Dataset {
    csv.read_from(table.as_bytes()).unwrap_or_else(|error| panic!("{table:?}: {error}"))
}

#[test]
fn columns_are_found_by_name_and_number() {
    let expected = read(Csv::values(["y"]), "a,b,y\n1,-2.5,3\n4e2,5,6\n");
    assert_eq!((expected.inputs(), expected.targets()), (&[1.0, -2.5, 400.0, 5.0][..], &[3.0, 6.0][..]));
    assert!(expected.class_names().is_empty());
    assert_eq!(read(Csv::values(["y"]), "y,a,b\n3,1,-2.5\n6,400,5\n"), expected);
    assert_eq!(read(Csv::values([2]), "a,b,y\n1,-2.5,3\n400,5,6\n"), expected);
    assert_eq!(read(Csv::values([2]).header(false), "1,-2.5,3\n400,5,6\n"), expected);
    assert_eq!(read(Csv::values(["y"]).ignore(["id"]), "id,a,b,y\nx,1,-2.5,3\n,400,5,6\n"), expected);
    // Targets stand in the order they are asked for in.
    let swapped = read(Csv::values(["y", "a"]), "a,b,y\n1,2,3\n");
    assert_eq!((swapped.inputs(), swapped.targets(), swapped.target_cols()), (&[2.0][..], &[3.0, 1.0][..], 2));
}

#[test]
fn labels_become_class_numbers() {
    let text = read(Csv::labels("kind"), "x,kind\n1,wolf\n2,\"cat, wild\"\n3,wolf\n4,dog\n");
    assert_eq!(text.targets(), [2.0, 0.0, 2.0, 1.0]);
    assert_eq!(text.class_names(), ["cat, wild", "dog", "wolf"]);
    assert_eq!(text.one_hot(3).unwrap().class_names(), text.class_names());
    // Numbers in their own order, not the alphabet's.
    let numbers = read(Csv::labels("kind"), "x,kind\n1,10\n2,9\n3,-1\n");
    assert_eq!(
        (numbers.targets(), numbers.class_names()),
        (&[2.0, 1.0, 0.0][..], &["-1", "9", "10"].map(String::from)[..])
    );
    let given = Csv::labels("kind").classes(["wolf", "dog", "cat"]);
    assert_eq!(read(given, "x,kind\n1,cat\n2,wolf\n").targets(), [2.0, 0.0]);
}

#[test]
fn spellings_of_one_number_are_one_class() {
    // As pandas.read_csv reads the column: 1, 1, 1, 2.
    let data = read(Csv::labels("y"), "y,b\n1,0\n1.0,1\n01,2\n2,3\n");
    assert_eq!((data.targets(), data.class_names()), (&[0.0, 0.0, 0.0, 1.0][..], &["1", "2"].map(String::from)[..]));
    let given = read(Csv::labels("y").classes(["2", "1"]), "y,b\n1,0\n1.0,1\n2.0,3\n");
    assert_eq!(given.targets(), [1.0, 1.0, 0.0]);
    let truths = read(Csv::labels("y"), "y,b\nTrue,0\nFALSE,1\ntrue,2\n");
    assert_eq!((truths.targets(), truths.class_names().len()), (&[1.0, 0.0, 1.0][..], 2));
    let mixed = read(Csv::labels("y"), "y,b\nTrue,0\n1,1\n0,2\nfalse,3\n");
    assert_eq!(
        (mixed.targets(), mixed.class_names()),
        (&[1.0, 1.0, 0.0, 0.0][..], &["0", "True"].map(String::from)[..])
    );
    // Codes with a letter among them are text, and so are numbers that an f64 can't distinguish.
    assert_eq!(read(Csv::labels("y"), "y,b\n1,0\n01,1\nA1,2\n").class_names(), ["01", "1", "A1"]);
    let ids = read(Csv::labels("y"), "y,b\n9007199254740992,0\n9007199254740993,1\n");
    assert_eq!(ids.targets(), [0.0, 1.0]);
}

#[test]
fn the_first_line_is_names_or_a_sample_but_never_lost() {
    const IRISES: &str = "5.1,3.5,1.4,0.2,setosa\n4.9,3.0,1.4,0.2,setosa\n7.0,3.2,4.7,1.4,versicolor\n";
    assert_eq!(read(Csv::labels(4), IRISES).targets(), [0.0, 0.0, 1.0]);
    assert_eq!(read(Csv::labels(4), &format!("a,b,c,d,species\n{IRISES}")).targets(), [0.0, 0.0, 1.0]);
    // Names that are numbers: asked for by name, or said.
    const YEARS: &str = "2019,2020,2021,2022\n1.2,1.3,1.1,1.4\n0.7,0.9,1.0,1.1\n";
    let years = read(Csv::values(["2022"]), YEARS);
    assert_eq!((years.targets(), years.input_cols()), (&[1.4, 1.1][..], 3));
    assert_eq!(read(Csv::values([3]).header(true), YEARS), years);
    assert_eq!(read(Csv::values([3]).header(false), YEARS).len(), 3);
    assert_eq!(read(Csv::labels(3).header(true), "1,2,3,4\n5.1,3.5,1.4,0\n6.2,3.4,5.4,1\n").targets(), [0.0, 1.0]);
    for (csv, table) in [
        (Csv::values([3]), YEARS),
        (Csv::labels(3), "1,2,3,4\n5.1,3.5,1.4,0\n6.2,3.4,5.4,1\n"),
        (Csv::values([1]), "5.1x,2,3\n4,5,6\n"),
        (Csv::values([1]), "NA,?,\n4,5,6\n"),
    ] {
        let error = csv.read_from(table.as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("call header(true) or header(false)"), "{table:?}: {error}");
        assert!(error.starts_with("csv: line 1 ("), "{error}");
    }
}

#[test]
fn missing_values_are_refused_or_their_rows_left_out() {
    // What pandas.read_csv takes for missing, and the question mark.
    const MARKS: [&str; 20] = [
        "", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
        "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
    ];
    for mark in MARKS {
        let shown = if mark.is_empty() { String::new() } else { format!(" ('{mark}')") };
        let refused = |csv: Csv, table: String| csv.read_from(table.as_bytes()).unwrap_err().to_string();
        let labels = refused(Csv::labels("y"), format!("a,y\n1,yes\n2,{mark}\n3,no\n"));
        assert!(labels.starts_with(&format!("csv: line 3, column 'y': the label is missing{shown}; ")), "{labels}");
        assert!(labels.contains("missing(Missing::DropRow)"), "{labels}");
        for table in [format!("a,y\n1,2\n{mark},4\n"), format!("y,a\n1,2\n{mark},4\n")] {
            let error = refused(Csv::values(["y"]), table);
            assert!(error.contains(&format!("the value is missing{shown}; ")), "{error}");
        }
        let drop = Csv::labels("y").missing(Missing::DropRow).ignore(["note"]);
        let table = format!("a,y,note\n1,yes,{mark}\n{mark},yes,x\n2,{mark},x\n3,no,x\n");
        let kept = read(drop, &table);
        assert_eq!((kept.inputs(), kept.targets()), (&[1.0, 3.0][..], &[1.0, 0.0][..]), "{mark}");
    }
    // What a spreadsheet writes where a formula failed, which pandas takes for text.
    for mark in ["#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"] {
        let drop = |csv: Csv| csv.missing(Missing::DropRow);
        assert_eq!(read(drop(Csv::labels("y")), &format!("a,y\n1,yes\n2,{mark}\n")).class_names(), ["yes"]);
        assert_eq!(read(drop(Csv::values(["y"])), &format!("a,y\n1,5\n{mark},6\n")).targets(), [5.0]);
    }
    // These are words in pandas, too; in a column of numbers they are none.
    assert_eq!(read(Csv::labels("y"), "a,y\n1,none\n2,na\n").class_names(), ["na", "none"]);
    assert_eq!(read(Csv::values(["y"]).missing(Missing::DropRow), "a,y\nnone,2\n1,Na\n3,4\n").inputs(), [3.0]);
    // Namibia is a country.
    assert_eq!(read(Csv::labels("y").classes(["NA", "ZA"]), "a,y\n1,ZA\n2,NA\n").targets(), [1.0, 0.0]);
    // Custom markers, however the number is written.
    let marks = Csv::values(["y"]).na_values(["-999", "."]).missing(Missing::DropRow);
    assert_eq!(read(marks, "a,y\n1,2\n-999.0,2\n3,.\n4,5\n").inputs(), [1.0, 4.0]);
    let none = Csv::values(["y"]).missing(Missing::DropRow).read_from("a,y\n1,\n2,NA\n".as_bytes()).unwrap_err();
    assert_eq!(
        none.to_string(),
        "csv: a value is missing in each of the 2 rows; ignore(...) the columns that have none"
    );
}

#[test]
fn columns_that_f32_has_no_room_for_are_told_by_name() {
    let rows: String = (0..30).map(|i| format!("{},{}\n", 1_700_000_000 + i, i % 7)).collect();
    let times = format!("time,load\n{rows}");
    // numpy: the deviation of 0..30 is 8.655.
    assert_eq!(
        Csv::values(["load"]).read_from(times.as_bytes()).unwrap_err().to_string(),
        "csv: column 'time': an f32 has no room for its values, which would be off by up to 2.900e1 where their standard \
         deviation is 8.655e0; subtract what they have in common: subtract(\"time\", 1700000000.0)"
    );
    let data = read(Csv::values(["load"]).subtract("time", 1_700_000_000.0), &times);
    assert_eq!(data.inputs(), (0..30).map(|i| i as f32).collect::<Vec<_>>());
    // So is a target; and a column that falls below f32's numbers.
    let error = |csv: Csv, table: &str| csv.read_from(table.as_bytes()).unwrap_err().to_string();
    assert!(error(Csv::values(["t"]), "a,t\n0,1700000000\n1,1700000001\n").contains("column 't'"));
    assert!(error(Csv::values([1]).header(false), "1,1e-50\n2,2e-50\n").contains("column 1: "));
    assert!(error(Csv::values(["y"]), "a,y\n0,1e-50\n1,2e-50\n2,9e-50\n").contains("another unit"));
    // Years, a constant, and seconds over a month keep what distinguishes them.
    let month: String = (0..30).map(|i| format!("{},{},0.1,{i}\n", 1990 + i, 1_700_000_000 + 86_400 * i)).collect();
    assert_eq!(read(Csv::values(["y"]), &format!("year,time,same,y\n{month}")).len(), 30);
    for wrong in [Csv::values(["load"]).subtract("tim", 1.0), Csv::values(["load"]).subtract("time", f64::NAN)] {
        assert!(wrong.read_from(times.as_bytes()).is_err());
    }
}

#[test]
fn the_irises_are_all_there() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/iris.csv");
    let irises = Csv::labels("species").read(path).unwrap();
    assert_eq!((irises.len(), irises.input_cols()), (150, 4));
    assert_eq!(irises.class_names(), ["setosa", "versicolor", "virginica"]);
    assert_eq!(irises.targets().iter().filter(|t| **t == 1.0).count(), 50);
    // Means as scikit-learn's description of the data gives them, to a unit of its last digit.
    let scale = Standardize::fit(&irises).to_string();
    let means = scale.lines().skip(1).map(|line| line.split(',').next().unwrap().parse::<f64>().unwrap());
    for (mean, expected) in means.zip([5.84, 3.05, 3.76, 1.20]) {
        assert!((mean - expected).abs() <= 0.01, "{mean}, not {expected}");
    }
}
