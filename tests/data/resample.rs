//! Samples chosen from a dataset: parts, folds, orders.

use wgrad::ErrorKind;
use wgrad::data::{Dataset, Labels, disk};

/// Samples whose inputs name them, of these classes.
fn numbered(classes: &[usize]) -> Dataset {
    let rows: Vec<[f32; 2]> = (0..classes.len()).map(|i| [i as f32, -(i as f32)]).collect();
    let targets: Vec<[f32; 1]> = classes.iter().map(|class| [*class as f32]).collect();
    Dataset::from_rows(&rows, &targets).unwrap().with_class_names(["a", "b", "c"])
}

/// The numbers of the samples, which have stayed together.
fn numbers(data: &Dataset, of: &Dataset) -> Vec<usize> {
    let number = |(input, target): (&[f32], &f32)| {
        let number = input[0] as usize;
        assert_eq!((input, *target), (&of.inputs()[2 * number..][..2], of.targets()[number]));
        number
    };
    assert_eq!(data.class_names(), of.class_names());
    data.inputs().chunks(2).zip(data.targets()).map(number).collect()
}

fn sorted(mut numbers: Vec<usize>) -> Vec<usize> {
    numbers.sort_unstable();
    numbers
}

fn count(data: &Dataset, class: f32) -> usize {
    data.targets().iter().filter(|target| **target == class).count()
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
fn a_split_is_not_drawn_from_the_stream_of_parameters() {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;
    use rand::seq::SliceRandom;

    let data = numbered(&[0; 50]);
    let (first, rest) = data.split(0.5, 7).unwrap();
    let order: Vec<usize> = numbers(&first, &data).into_iter().chain(numbers(&rest, &data)).collect();
    for stream in [0, 1, 2] {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        rng.set_stream(stream);
        let mut other: Vec<usize> = (0..50).collect();
        other.shuffle(&mut rng);
        assert_ne!(order, other, "stream {stream}");
    }
    assert_ne!(numbers(&data.shuffle(7), &data), order);
}

#[test]
fn selected_and_shuffled_samples() {
    let data = numbered(&[0, 1, 2, 0, 1]);
    assert_eq!(numbers(&data.select(&[4, 0, 4]).unwrap(), &data), [4, 0, 4]);
    assert_eq!(data.select(&[]).unwrap_err().kind(), ErrorKind::Shape);
    let outside = data.select(&[0, 5]).unwrap_err().to_string();
    assert_eq!(outside, "select: there is no sample 5; 5 samples count from 0 to 4");
    let many = numbered(&[0; 100]);
    let order = numbers(&many.shuffle(3), &many);
    assert_ne!(order, sorted(order.clone()));
    assert_eq!(sorted(order), (0..100).collect::<Vec<_>>());
    assert_eq!(many.shuffle(3), many.shuffle(3));
    assert_ne!(many.shuffle(3), many.shuffle(4));
}

#[test]
fn concatenated_datasets_must_be_alike() {
    let data = numbered(&[0, 1, 2, 0]);
    let parts = [data.select(&[0, 1]).unwrap(), data.select(&[2]).unwrap(), data.select(&[3]).unwrap()];
    assert_eq!(Dataset::concat(&parts).unwrap(), data);
    assert_eq!(Dataset::concat([]).unwrap_err().kind(), ErrorKind::Shape);
    let wide = disk(3, 0, Labels::OneHot).unwrap();
    assert_eq!(Dataset::concat([&data, &wide]).unwrap_err().kind(), ErrorKind::Shape);
    let named = data.clone().with_class_names(["b", "a", "c"]);
    assert_eq!(Dataset::concat([&data, &named]).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn folds_measure_every_sample_once() {
    // scikit-learn's KFold(4) of 10: 3, 3, 2, 2.
    let data = numbered(&[0; 10]);
    let folds: Vec<_> = data.folds(4, 1).unwrap().collect();
    assert_eq!(folds.iter().map(|(_, validation)| validation.len()).collect::<Vec<_>>(), [3, 3, 2, 2]);
    let mut measured = Vec::new();
    for (train, validation) in &folds {
        let both = [numbers(train, &data), numbers(validation, &data)].concat();
        assert_eq!(sorted(both), (0..10).collect::<Vec<_>>());
        measured.extend(numbers(validation, &data));
    }
    assert_eq!(sorted(measured), (0..10).collect::<Vec<_>>());
    assert_eq!(data.folds(4, 1).unwrap().collect::<Vec<_>>(), folds);
    assert_ne!(data.folds(4, 2).unwrap().collect::<Vec<_>>(), folds);
    for k in [0, 1, 11] {
        let error = data.folds(k, 0).err().unwrap();
        assert_eq!(error.to_string(), format!("folds: {k} folds of 10 samples; give 2 to 10"));
    }
}

#[test]
fn stratified_parts_keep_the_shares_of_classes() {
    let classes: Vec<usize> = (0..60)
        .map(|i| {
            if i < 36 {
                0
            } else if i < 54 {
                1
            } else {
                2
            }
        })
        .collect();
    let data = numbered(&classes);
    for seed in 0..5 {
        // scikit-learn's train_test_split(train_size=0.75, stratify=y): 27, 13 or 14, 5 or 4.
        let (train, rest) = data.split_stratified(0.75, seed).unwrap();
        let counts = [0.0, 1.0, 2.0].map(|class| count(&train, class));
        assert!(counts == [27, 14, 4] || counts == [27, 13, 5], "{counts:?}");
        assert_eq!(sorted([numbers(&train, &data), numbers(&rest, &data)].concat()), (0..60).collect::<Vec<_>>());
        assert!(!numbers(&train, &data).is_sorted());
        // StratifiedKFold(3): 12, 6 and 2 in each.
        for (_, validation) in data.stratified_folds(3, seed).unwrap() {
            assert_eq!([0.0, 1.0, 2.0].map(|class| count(&validation, class)), [12, 6, 2]);
        }
    }
    // Rows of 0 and 1 are classes, too.
    let (train, _) = data.one_hot(3).unwrap().split_stratified(0.5, 0).unwrap();
    assert_eq!(train.targets().chunks(3).filter(|row| row[2] == 1.0).count(), 3);
    let lonely = numbered(&[0, 0, 0, 1]);
    let error = lonely.split_stratified(0.5, 0).unwrap_err().to_string();
    assert!(error.starts_with("split_stratified: the class of sample 3 (target [1.0]) has a single sample"), "{error}");
    let few = lonely.stratified_folds(2, 0).err().unwrap().to_string();
    assert!(
        few.starts_with("stratified_folds: the class of sample 3 (target [1.0]) has 1 samples, fewer than"),
        "{few}"
    );
}

#[test]
fn groups_stay_together() {
    let data = numbered(&[0; 10]);
    let groups = [1, 1, 1, 2, 2, 3, 3, 4, 4, 5];
    let mut sizes = Vec::new();
    for (train, validation) in data.grouped_folds(2, &groups).unwrap() {
        let of = |part: &Dataset| numbers(part, &data).into_iter().map(|i| groups[i]).collect::<Vec<_>>();
        let (train, validation) = (of(&train), of(&validation));
        assert!(validation.iter().all(|group| !train.contains(group)));
        sizes.push(validation.len());
    }
    // scikit-learn's GroupKFold(2): 5 and 5.
    assert_eq!(sizes, [5, 5]);
    assert_eq!(data.grouped_folds(2, &[1; 9]).err().unwrap().kind(), ErrorKind::Shape);
    let one = data.grouped_folds(2, &["a"; 10]).err().unwrap().to_string();
    assert_eq!(one, "grouped_folds: 1 groups can't be in 2 folds; give more data");
}

#[test]
fn fractions_that_leave_nothing_say_what_there_is() {
    let error = numbered(&[0; 10]).split(1.0, 0).unwrap_err().to_string();
    assert_eq!(error, "split: a fraction of 1 of 10 samples leaves one part empty; give 0.100 to 0.900");
    assert_eq!(
        numbered(&[0]).split(0.5, 0).unwrap_err().to_string(),
        "split: 1 sample can't be in two parts; give more data"
    );
}
