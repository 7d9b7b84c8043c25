//! Data of one's own: what is read, what is refused and where it says the fault is, and what is done to data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use wgrad::ErrorKind;
use wgrad::data::{Csv, Dataset, Standardize, idx};

fn error(csv: &Csv, table: &str) -> String {
    let error = csv.read_from(table.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error.to_string().strip_prefix("csv: ").unwrap().into()
}

#[test]
fn tables_are_read_however_they_are_written() {
    let expected = Csv::values(["y"]).read_from("a,b,y\n1,-2.5,3\n4e2,5,6\n".as_bytes()).unwrap();
    assert_eq!((expected.inputs(), expected.targets()), (&[1.0, -2.5, 400.0, 5.0][..], &[3.0, 6.0][..]));
    assert!(expected.class_names().is_empty());
    let read = |csv: Csv, table: &str| csv.read_from(table.as_bytes()).unwrap();
    for table in [
        "a,b,y\r\n1,-2.5,3\r\n400,5,6",
        "\u{feff}a,b,y\n1,-2.5,3\n400,5,6\n",
        "a, b, y\n 1 , -2.5, 3\n\n400,5,6\n\n",
        "\"a\",\"b\",\"y\"\n\"1\",-2.5,3\n400,\"5\",6\n",
        "y,a,b\n3,1,-2.5\n6,400,5\n",
    ] {
        assert_eq!(read(Csv::values(["y"]), table), expected, "{table:?}");
    }
    assert_eq!(read(Csv::values(["y"]).delimiter(b';'), "a;b;y\n1;-2.5;3\n400;5;6\n"), expected);
    assert_eq!(read(Csv::values([2]).without_header(), "1,-2.5,3\n400,5,6\n"), expected);
    assert_eq!(read(Csv::values(["y"]).ignore(["id"]), "id,a,b,y\nx,1,-2.5,3\n,400,5,6\n"), expected);
    // Targets stand in the order they are asked for in.
    let swapped = read(Csv::values(["y", "a"]), "a,b,y\n1,2,3\n");
    assert_eq!((swapped.inputs(), swapped.targets(), swapped.target_cols()), (&[2.0][..], &[3.0, 1.0][..], 2));
}

#[test]
fn labels_become_class_numbers() {
    let read = |csv: Csv, table: &str| csv.read_from(table.as_bytes()).unwrap();
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
    // Given, a class may be missing, and an unknown one is refused.
    let given = Csv::labels("kind").classes(["wolf", "dog", "cat"]);
    assert_eq!(read(given.clone(), "x,kind\n1,cat\n2,wolf\n").targets(), [2.0, 0.0]);
    assert_eq!(
        error(&given, "x,kind\n1,cat\n2,fox\n"),
        "line 3: the label 'fox' is not among the classes wolf, dog, cat"
    );
}

#[test]
fn faults_are_told_with_their_line_and_column() {
    let y = || Csv::values(["y"]);
    let missing = "the value is missing; fill it in, remove the row or ignore the column";
    for value in ["", "  ", "NA", "nan", "NaN", "?", "null"] {
        assert_eq!(error(&y(), &format!("a,y\n1,2\n{value},3\n")), format!("line 3, column 'a': {missing}"));
    }
    let wrong = "correct it, remove the row or ignore the column";
    assert_eq!(error(&y(), "a,y\n1,2\n1,2\n1,two\n"), format!("line 4, column 'y': 'two' is no number; {wrong}"));
    // Blank lines, Windows line ends and line breaks within quotes count as an editor counts them.
    assert_eq!(
        error(&y(), "a,y\n\n1,2\n\n\n1,2,3\n"),
        "line 6: 3 values, but the first line has 2; correct or remove the row"
    );
    assert_eq!(
        error(&y(), "a,y\r\n1,2\r\n3\r\n"),
        "line 3: 1 values, but the first line has 2; correct or remove the row"
    );
    let quoted = "id,a,y\n\"two\nlines\",1,2\nx,b,2\n";
    assert_eq!(error(&y().ignore(["id"]), quoted), format!("line 4, column 'a': 'b' is no number; {wrong}"));
    assert_eq!(
        error(&y(), "a,y\n1,2\n1e39,2\n"),
        "line 3, column 'a': '1e39' is infinite as an f32; correct it or remove the row"
    );
    assert_eq!(
        error(&Csv::labels(1).without_header(), "1,a\n2,\n"),
        "line 2, column 1: the label is missing; fill it in or remove the row"
    );
    let latin = Csv::values(["y"]).read_from(&b"a,y\n1,2\n\xe9,2\n"[..]).unwrap_err();
    assert_eq!(latin.to_string(), "csv: line 3: the text is not UTF-8; save the table as UTF-8");
}

#[test]
fn tables_and_columns_that_do_not_fit_are_refused() {
    let y = || Csv::values(["y"]);
    assert_eq!(error(&y(), ""), "the table is empty; give at least one row");
    assert_eq!(error(&y(), "a,y\n"), "there is no row below the header; give at least one");
    assert_eq!(error(&y(), "a,z\n1,2\n"), "there is no column 'y'; there are a, z");
    assert_eq!(error(&y(), "a,y,y\n1,2,3\n"), "there are several columns 'y'; give the column's number");
    assert_eq!(error(&Csv::values([5]), "a,y\n1,2\n"), "there is no column 5; there are 2, from 0");
    assert_eq!(error(&y(), "y\n1\n"), "no column is left for the inputs; ignore fewer");
    assert_eq!(error(&y().ignore(["y"]), "a,y\n1,2\n"), "column 'y' is asked for twice; leave one out");
    assert_eq!(error(&y().without_header(), "1,2\n"), "column 'y': without a header, columns go by number");
    assert_eq!(
        error(&Csv::values([1]), "1,2\n3,4\n"),
        "the first line holds numbers, not names; if there are no names, say so"
    );
    let no_targets = Csv::values([""; 0]).read_from("a\n1\n".as_bytes()).unwrap_err();
    assert_eq!(no_targets.kind(), ErrorKind::Shape);
    let nowhere = Csv::labels("y").read("no such file.csv").unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Io);
    assert!(nowhere.to_string().starts_with("csv: no such file.csv can't be read"), "{nowhere}");
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

/// A file of this test run.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file of this type.
fn idx_bytes(kind: u8, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

#[test]
fn idx_files_are_read_plain_and_packed() {
    let images = idx_bytes(0x08, &[2, 2, 3], &[0, 51, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let labels = idx_bytes(0x08, &[2], &[7, 0]);
    let plain = idx(file("images", &images), file("labels", &labels)).unwrap();
    assert_eq!((plain.len(), plain.input_cols(), plain.targets()), (2, 6, &[7.0, 0.0][..]));
    assert_eq!(plain.inputs()[..4], [0.0, 0.2, 1.0, 1.0 / 255.0]);
    let from_gz = idx(file("images.gz", &packed(&images)), file("labels.gz", &packed(&labels))).unwrap();
    assert_eq!(from_gz, plain);

    // The other types, big-endian and not scaled.
    let cases: [(u8, Vec<u8>); 5] = [
        (0x09, vec![(-3i8) as u8, 100]),
        (0x0b, [-3i16, 100].iter().flat_map(|v| v.to_be_bytes()).collect()),
        (0x0c, [-3i32, 100].iter().flat_map(|v| v.to_be_bytes()).collect()),
        (0x0d, [-3f32, 100.0].iter().flat_map(|v| v.to_be_bytes()).collect()),
        (0x0e, [-3f64, 100.0].iter().flat_map(|v| v.to_be_bytes()).collect()),
    ];
    for (kind, data) in cases {
        let path = file(&format!("type-{kind}"), &idx_bytes(kind, &[2, 1], &data));
        assert_eq!(idx(path, file("labels-of-types", &labels)).unwrap().inputs(), [-3.0, 100.0], "{kind:#x}");
    }
}

#[test]
fn damaged_idx_files_are_refused() {
    let labels = file("good-labels", &idx_bytes(0x08, &[2], &[1, 0]));
    let images = idx_bytes(0x08, &[2, 2], &[1, 2, 3, 4]);
    let refused = |name: &str, bytes: &[u8]| idx(file(name, bytes), &labels).unwrap_err().to_string();
    for len in 0..images.len() {
        assert!(refused("short", &images[..len]).contains("ends early"), "{len}");
    }
    let mut long = images.clone();
    long.push(0);
    assert!(refused("long", &long).contains("goes on behind"));
    let half_packed = packed(&images);
    assert!(refused("half.gz", &half_packed[..half_packed.len() - 9]).contains("ends early"));
    assert!(refused("text", b"sepal,petal\n").contains("no IDX file"));
    assert!(refused("type", &idx_bytes(0x07, &[2], &[1, 2])).contains("0x07"));
    // A header that promises more than there can be takes no memory.
    assert!(refused("huge", &idx_bytes(0x0e, &[u32::MAX; 3], &[])).contains("no memory holds"));
    assert!(refused("large", &idx_bytes(0x08, &[u32::MAX, 1000], &[1])).contains("ends early"));
    assert!(refused("empty", &idx_bytes(0x08, &[0, 2], &[])).contains("at least one row"));
    let images = file("good-images", &images);
    let swapped = idx(&labels, &images).unwrap_err();
    assert!(swapped.to_string().contains("swapped"), "{swapped}");
    let three = file("three-labels", &idx_bytes(0x08, &[3], &[1, 0, 1]));
    assert_eq!(idx(&images, three).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(idx("no such file", &labels).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_split_holds_every_sample_once_and_repeats() {
    let n = 101;
    // The target names the row, so that inputs and targets are seen to stay together.
    let rows: Vec<[f32; 2]> = (0..n).map(|i| [i as f32, -(i as f32)]).collect();
    let targets: Vec<[f32; 1]> = (0..n).map(|i| [i as f32]).collect();
    let data = Dataset::from_rows(&rows, &targets).unwrap().with_class_names(["a"]);
    let (first, rest) = data.split(0.7, 4).unwrap();
    assert_eq!((first.len(), rest.len()), (71, 30));
    assert_eq!((first.class_names(), rest.class_names()), (data.class_names(), data.class_names()));
    for part in [&first, &rest] {
        for (input, target) in part.inputs().chunks(2).zip(part.targets()) {
            assert_eq!(input, [*target, -target]);
        }
    }
    let mut all: Vec<f32> = first.targets().iter().chain(rest.targets()).copied().collect();
    assert!(!all.is_sorted(), "shuffled");
    all.sort_by(f32::total_cmp);
    assert_eq!(all, data.targets());
    assert_eq!(data.split(0.7, 4).unwrap(), (first.clone(), rest));
    assert_ne!(data.split(0.7, 5).unwrap().0, first);
    for fraction in [0.0, 1.0, -0.5, 1.5, 0.001, 0.999, f64::NAN, f64::INFINITY] {
        assert_eq!(data.split(fraction, 0).unwrap_err().kind(), ErrorKind::InvalidInput, "{fraction}");
    }
}

#[test]
fn one_hot_takes_class_numbers_only() {
    let data =
        |targets: &[f32], cols| Dataset::new(vec![0.0; targets.len() / cols], 1, targets.to_vec(), cols).unwrap();
    let rows = data(&[1.0, 0.0], 1).one_hot(2).unwrap();
    assert_eq!((rows.targets(), rows.target_cols()), (&[0.0, 1.0, 1.0, 0.0][..], 2));
    for wrong in [-1.0, 2.0, 0.5] {
        let error = data(&[0.0, wrong], 1).one_hot(2).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("one_hot: row 1 has the class {wrong}; 2 classes count from 0 in whole numbers")
        );
    }
    assert_eq!(data(&[0.0, 1.0], 2).one_hot(2).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(data(&[0.0], 1).one_hot(0).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn standardised_columns_have_mean_0_and_deviation_1() {
    // Three columns: spread, all the same (a value whose sums round), and far from 0 with little spread.
    let rows: Vec<[f32; 3]> = (0..1000).map(|i| [i as f32 * 0.37 - 50.0, 0.1, 1e6 + (i % 7) as f32]).collect();
    let targets: Vec<[f32; 1]> = rows.iter().map(|row| [row[0] * 2.0]).collect();
    let data = Dataset::from_rows(&rows, &targets).unwrap();
    let scale = Standardize::fit(&data);
    let scaled = scale.apply_to_inputs(&data).unwrap();
    assert_eq!(scaled.targets(), data.targets());
    for col in [0, 2] {
        let values = || scaled.inputs().iter().skip(col).step_by(3).map(|v| f64::from(*v));
        let mean = values().sum::<f64>() / 1000.0;
        let variance = values().map(|v| v * v).sum::<f64>() / 1000.0;
        // Each value is one rounding to f32 off, and none is larger than 2.
        let bound = 2.0 * f64::from(f32::EPSILON);
        assert!(mean.abs() <= bound && (variance - 1.0).abs() <= 2.0 * bound, "column {col}: {mean}, {variance}");
    }
    assert!(scaled.inputs().iter().skip(1).step_by(3).all(|v| *v == 0.0));
    // And back, to the roundings of a value of up to 2 deviations.
    let back = scale.invert(scaled.inputs()).unwrap();
    let deviations = [107.0, 1.0, 2.0];
    for (i, (back, value)) in back.iter().zip(data.inputs()).enumerate() {
        let bound = f32::EPSILON * (2.0 * deviations[i % 3] + value.abs());
        assert!((back - value).abs() <= bound, "column {}: {back}, not {value}", i % 3);
    }
    // A value of another than the constant is seen.
    assert_eq!(scale.apply(&[0.0, 1.1, 1e6]).unwrap()[1], 1.0);
}

#[test]
fn a_scale_lies_beside_the_model_and_refuses_what_is_not_its() {
    let data = Dataset::from_rows(&[[0.1, 1e-30], [0.7, 3e-30], [0.2, 7e30]], &[[1.0], [2.0], [4.0]]).unwrap();
    let scale = Standardize::fit(&data);
    let path = file("scale.csv", b"");
    scale.save(&path).unwrap();
    assert_eq!(Standardize::load(&path).unwrap(), scale);
    assert_eq!(scale.apply(&[1.0; 3]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(scale.apply_to_targets(&data).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(Standardize::fit_targets(&data).apply_to_inputs(&data).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(scale.apply(&[f32::NAN, 0.0]).unwrap_err().kind(), ErrorKind::InvalidInput);
    let tiny: Standardize = "mean,std\n0,1e-30\n".parse().unwrap();
    assert_eq!(tiny.apply(&[1e30]).unwrap_err().kind(), ErrorKind::InvalidInput);
    for text in [
        "",
        "mean,std",
        "std,mean\n0,1\n",
        "mean,std\n1\n",
        "mean,std\n0,0\n",
        "mean,std\n0,-1\n",
        "mean,std\nNaN,1\n",
        "mean,std\n0,inf\n",
        "mean,std\n1,2,3\n",
    ] {
        assert_eq!(text.parse::<Standardize>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text:?}");
    }
    let nowhere = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no such folder").join("scale.csv");
    assert_eq!(scale.save(&nowhere).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(Standardize::load(&nowhere).unwrap_err().kind(), ErrorKind::Io);
}
