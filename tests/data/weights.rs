//! Weights of samples and classes.

use wgrad::ErrorKind;
use wgrad::data::{Csv, Dataset, Missing, Standardize};

fn data() -> Dataset {
    let rows: Vec<[f32; 1]> = (0..6).map(|i| [i as f32]).collect();
    let targets: Vec<[f32; 1]> = (0..6).map(|i| [(i % 2) as f32]).collect();
    Dataset::from_rows(&rows, &targets).unwrap()
}

/// Weights that tell their samples.
fn weighed() -> Dataset {
    data().with_weights((0..6).map(|i| i as f32 / 4.0).collect()).unwrap()
}

fn assert_together(part: &Dataset) {
    let inputs = part.inputs().chunks(part.input_cols()).map(|row| row[0] / 4.0);
    assert_eq!(part.weights().unwrap(), inputs.collect::<Vec<_>>());
}

#[test]
fn weights_stay_with_their_samples() {
    let data = weighed();
    assert_together(&data.select(&[5, 0, 5]).unwrap());
    assert_together(&data.shuffle(3));
    let (first, rest) = data.split(0.5, 1).unwrap();
    assert_together(&first);
    assert_together(&rest);
    assert_together(&Dataset::concat([&first, &rest]).unwrap());
    for (train, validation) in data.stratified_folds(3, 1).unwrap() {
        assert_together(&train);
        assert_together(&validation);
    }
    assert_together(&data.one_hot(2).unwrap());
    assert_together(&data.clone().map_targets(|target| 2.0 * target).unwrap());
    let scale = Standardize::fit_targets(&data);
    assert_together(&scale.apply_to_targets(&data).unwrap());
    assert_eq!(Standardize::fit(&data).apply_to_inputs(&data).unwrap().weights(), data.weights());
    assert_eq!(self::data().weights(), None);
    let error = Dataset::concat([&data, &self::data()]).unwrap_err().to_string();
    assert_eq!(error, "concat: dataset 0 or dataset 1 has weights, the other has none; give both some");
}

#[test]
fn weights_are_numbers_from_0_for_every_sample() {
    let refused = |weights: &[f32]| data().with_weights(weights.to_vec()).unwrap_err();
    assert_eq!(refused(&[1.0; 5]).kind(), ErrorKind::Shape);
    assert_eq!(
        refused(&[1.0, 1.0, -1.0, 1.0, 1.0, 1.0]).to_string(),
        "with_weights: the weight of row 2 is -1; give finite numbers from 0"
    );
    assert_eq!(refused(&[1.0, f32::NAN, 1.0, 1.0, 1.0, 1.0]).kind(), ErrorKind::InvalidInput);
    assert_eq!(refused(&[0.0; 6]).kind(), ErrorKind::InvalidInput);
    // scikit-learn: compute_class_weight("balanced").
    let classes = Dataset::new(vec![0.0; 7], 1, vec![0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], 1).unwrap();
    let balanced = [7.0 / 3.0, 7.0 / 6.0, 7.0 / 12.0].map(|weight: f64| weight as f32);
    assert_eq!(classes.balanced_class_weights(3).unwrap(), balanced);
    let twice = classes.clone().with_weights(vec![2.0; 7]).unwrap().with_class_weights(&[0.5, 1.0, 0.0]).unwrap();
    assert_eq!(twice.weights(), Some(&[1.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0][..]));
    assert!(classes.clone().with_class_weights(&[1.0, 1.0]).unwrap_err().to_string().contains("row 3 has the class 2"));
    assert!(classes.clone().with_class_weights(&[1.0, 1.0, -1.0]).is_err());
    assert!(classes.balanced_class_weights(4).unwrap_err().to_string().contains("class 3 of 4 has no samples"));
    assert!(classes.balanced_class_weights(2).is_err());
}

#[test]
fn a_column_of_a_table_holds_weights() {
    let table = "x,w,y\n1,0.5,a\n2,2,b\n3,,a\n4,0,b\n";
    let read = |csv: Csv| csv.read_from(table.as_bytes());
    let labels = read(Csv::labels("y").weights("w").missing(Missing::DropRow)).unwrap();
    assert_eq!((labels.inputs(), labels.weights()), (&[1.0, 2.0, 4.0][..], Some(&[0.5, 2.0, 0.0][..])));
    let error = |csv: Csv| read(csv).unwrap_err().to_string();
    assert!(error(Csv::labels("y").weights("w")).contains("line 4, column 'w': the value is missing"));
    assert!(error(Csv::labels("y").weights("y")).contains("column 'y' is selected twice"));
    assert!(error(Csv::labels("y").weights("z")).contains("there is no column 'z'"));
    let negative = Csv::values([2]).weights(1).header(false).read_from("1,-2,3\n".as_bytes()).unwrap_err().to_string();
    assert!(negative.contains("'-2' is no weight; give numbers from 0"), "{negative}");
    // By number, too, and with targets that are values.
    let values = Csv::values([2]).weights(1).header(false).read_from("1,2,3\n4,5,6\n".as_bytes()).unwrap();
    assert_eq!((values.inputs(), values.targets()), (&[1.0, 4.0][..], &[3.0, 6.0][..]));
    assert_eq!(values.weights(), Some(&[2.0, 5.0][..]));
}
