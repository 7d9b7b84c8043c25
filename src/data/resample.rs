//! Samples chosen from a dataset: parts, folds, orders.

use std::collections::HashMap;
use std::hash::Hash;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use super::Dataset;
use crate::error::{Error, Result};
use crate::random;

impl Dataset {
    /// The samples of these numbers, in this order; a number may be given more than once.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    ///
    /// let data = Dataset::from_rows(&[[0.1], [0.2], [0.3]], &[[0.0], [1.0], [0.0]])?;
    /// assert_eq!(data.select(&[2, 0])?.inputs(), [0.3, 0.1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// No numbers, or one that is not less than [`Dataset::len`].
    pub fn select(&self, samples: &[usize]) -> Result<Self> {
        let len = self.len();
        if samples.is_empty() {
            return Err(Error::shape("select", "no samples are chosen; give at least one number"));
        }
        if let Some(sample) = samples.iter().find(|sample| **sample >= len) {
            let detail = format!("there is no sample {sample}; {len} samples count from 0 to {}", len - 1);
            return Err(Error::input("select", detail));
        }
        Ok(self.chosen(samples))
    }

    /// The same samples in another order, which the seed decides. (A [`Trainer`](crate::Trainer) shuffles by itself.)
    pub fn shuffle(&self, seed: u64) -> Self {
        self.chosen(&shuffled((0..self.len()).collect(), &mut random::shuffle(seed)))
    }

    /// All samples of these datasets, one after the other.
    ///
    /// ```
    /// use wgrad::data::{Dataset, Labels, disk};
    ///
    /// let (monday, tuesday) = (disk(10, 1, Labels::OneHot)?, disk(20, 2, Labels::OneHot)?);
    /// assert_eq!(Dataset::concat([&monday, &tuesday])?.len(), 30);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// No dataset; different numbers of columns, or different class names; weights in some only.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Err(Error::shape("concat", "no datasets; give at least one"));
        };
        let mut all = first.clone();
        for (i, part) in parts.enumerate() {
            let shape = |data: &Self| (data.input_cols, data.target_cols);
            if shape(part) != shape(first) {
                let ((inputs, targets), (i0, t0)) = (shape(part), shape(first));
                let detail = format!(
                    "dataset {} has {inputs} columns of inputs and {targets} of targets, but dataset 0 has {i0} and {t0}; \
                     make them equal",
                    i + 1
                );
                return Err(Error::shape("concat", detail));
            }
            if part.class_names != first.class_names {
                let detail = format!(
                    "the classes of dataset {} are {:?}, those of dataset 0 {:?}; number both alike (Csv::classes)",
                    i + 1,
                    part.class_names,
                    first.class_names
                );
                return Err(Error::input("concat", detail));
            }
            if part.weights.is_empty() != first.weights.is_empty() {
                let detail = format!("dataset 0 or dataset {} has weights, the other has none; give both some", i + 1);
                return Err(Error::input("concat", detail));
            }
            all.weights.extend(&part.weights);
            all.inputs.extend(&part.inputs);
            all.targets.extend(&part.targets);
        }
        Ok(all)
    }

    /// The same samples, shuffled, in two parts: `fraction` of them (to the nearest whole sample) and the rest. The
    /// same seed gives the same parts.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    ///
    /// let (train, validation) = disk(1000, 0, Labels::OneHot)?.split(0.8, 0)?;
    /// assert_eq!((train.len(), validation.len()), (800, 200));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A fraction that leaves one part empty.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Self, Self)> {
        let first = first_part("split", fraction, self.len())?;
        let order = shuffled((0..self.len()).collect(), &mut random::split(seed));
        let (first, rest) = order.split_at(first);
        Ok((self.chosen(first), self.chosen(rest)))
    }

    /// As [`Dataset::split`], with the same share of every class in both parts (to the nearest whole sample). Samples are
    /// of one class if their targets are equal.
    ///
    /// # Errors
    /// A fraction that leaves one part empty; a class of a single sample, which can't be in both.
    pub fn split_stratified(&self, fraction: f64, seed: u64) -> Result<(Self, Self)> {
        const OPERATION: &str = "split_stratified";
        let first = first_part(OPERATION, fraction, self.len())?;
        let mut rng = random::split(seed);
        let classes = self.classes();
        if let Some(class) = classes.iter().find(|class| class.len() < 2) {
            let detail = format!(
                "the class of sample {} (target {:?}) has a single sample, which can't be in both parts; use split",
                class[0],
                self.target(class[0])
            );
            return Err(Error::input(OPERATION, detail));
        }
        // Each class gives the whole part of its share; those that lose most by it give one sample more.
        let exact: Vec<f64> =
            classes.iter().map(|class| class.len() as f64 * first as f64 / self.len() as f64).collect();
        let mut counts: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
        let mut by_loss: Vec<usize> = (0..classes.len()).collect();
        by_loss.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
        let more = first - counts.iter().sum::<usize>();
        by_loss.into_iter().take(more).for_each(|class| counts[class] += 1);
        let (mut chosen, mut rest) = (Vec::new(), Vec::new());
        for (class, count) in classes.into_iter().zip(counts) {
            let class = shuffled(class, &mut rng);
            chosen.extend(&class[..count]);
            rest.extend(&class[count..]);
        }
        Ok((self.chosen(&shuffled(chosen, &mut rng)), self.chosen(&shuffled(rest, &mut rng))))
    }

    /// The samples, shuffled, in `k` parts of equal size (to a sample) for a cross-validation: each part in turn is what
    /// to measure by, the others are what to train on. Yields `(train, validation)`, made when asked for.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    ///
    /// let data = disk(100, 0, Labels::OneHot)?;
    /// for (train, validation) in data.folds(5, 0)? {
    ///     assert_eq!((train.len(), validation.len()), (80, 20));
    /// }
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than 2 folds, or more than samples.
    pub fn folds(&self, k: usize, seed: u64) -> Result<impl ExactSizeIterator<Item = (Self, Self)>> {
        check_folds("folds", k, self.len(), "samples")?;
        let order = shuffled((0..self.len()).collect(), &mut random::folds(seed));
        Ok(self.dealt(deal([order], self.len(), k), k))
    }

    /// As [`Dataset::folds`], with as many samples of every class in each part (to a sample). Samples are of one class if
    /// their targets are equal.
    ///
    /// # Errors
    /// Fewer than 2 folds; a class with fewer samples than folds.
    pub fn stratified_folds(&self, k: usize, seed: u64) -> Result<impl ExactSizeIterator<Item = (Self, Self)>> {
        const OPERATION: &str = "stratified_folds";
        check_folds(OPERATION, k, self.len(), "samples")?;
        let mut rng = random::folds(seed);
        let classes = self.classes();
        if let Some(class) = classes.iter().find(|class| class.len() < k) {
            let detail = format!(
                "the class of sample {} (target {:?}) has {} samples, fewer than the {k} folds; take fewer folds, or folds",
                class[0],
                self.target(class[0]),
                class.len()
            );
            return Err(Error::input(OPERATION, detail));
        }
        let classes = classes.into_iter().map(|class| shuffled(class, &mut rng));
        Ok(self.dealt(deal(classes, self.len(), k), k))
    }

    /// As [`Dataset::folds`], with all samples of a group in the same part: those of one patient, speaker, or day, that a
    /// model could recognise. `groups` names the group of each sample. The largest groups are given out first, each to
    /// the smallest part, so parts may differ in size.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    ///
    /// let data = Dataset::from_rows(&[[1.0], [2.0], [3.0], [4.0]], &[[0.0], [1.0], [0.0], [1.0]])?;
    /// let patients = ["ann", "bob", "ann", "bob"];
    /// for (train, validation) in data.grouped_folds(2, &patients)? {
    ///     assert_eq!((train.len(), validation.len()), (2, 2));
    /// }
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of groups than samples; fewer than 2 folds, or more than different groups.
    pub fn grouped_folds<G: Eq + Hash>(
        &self,
        k: usize,
        groups: &[G],
    ) -> Result<impl ExactSizeIterator<Item = (Self, Self)> + use<'_, G>> {
        const OPERATION: &str = "grouped_folds";
        if groups.len() != self.len() {
            let detail = format!("{} groups for {} samples; name the group of each sample", groups.len(), self.len());
            return Err(Error::shape(OPERATION, detail));
        }
        let mut members = alike(groups.iter());
        check_folds(OPERATION, k, members.len(), "groups")?;
        members.sort_by_key(|group| std::cmp::Reverse(group.len()));
        let (mut folds, mut sizes) = (vec![0; self.len()], vec![0; k]);
        for group in members {
            let smallest = (1..k).fold(0, |best, fold| if sizes[fold] < sizes[best] { fold } else { best });
            sizes[smallest] += group.len();
            group.into_iter().for_each(|sample| folds[sample] = smallest);
        }
        Ok(self.dealt(folds, k))
    }

    /// The samples with equal targets, class by class in the order of their first sample.
    fn classes(&self) -> Vec<Vec<usize>> {
        // Adding 0 makes one zero of the two.
        let key = |row: &[f32]| row.iter().map(|value| (value + 0.0).to_bits()).collect::<Vec<_>>();
        alike(self.targets.chunks_exact(self.target_cols).map(key))
    }

    fn target(&self, sample: usize) -> &[f32] {
        &self.targets[sample * self.target_cols..][..self.target_cols]
    }

    /// The pairs of a cross-validation from the fold of each sample.
    fn dealt(&self, folds: Vec<usize>, k: usize) -> impl ExactSizeIterator<Item = (Self, Self)> {
        (0..k).map(move |fold| {
            let (validation, train): (Vec<usize>, Vec<usize>) =
                (0..folds.len()).partition(|sample| folds[*sample] == fold);
            (self.chosen(&train), self.chosen(&validation))
        })
    }

    /// The samples of these numbers, each less than [`Dataset::len`].
    fn chosen(&self, samples: &[usize]) -> Self {
        let rows = |values: &[f32], cols: usize| {
            let row = |sample: &usize| values.get(sample * cols..(sample + 1) * cols).unwrap_or_default();
            samples.iter().flat_map(|sample| row(sample).iter().copied()).collect()
        };
        Self {
            inputs: rows(&self.inputs, self.input_cols),
            targets: rows(&self.targets, self.target_cols),
            class_names: self.class_names.clone(),
            weights: rows(&self.weights, 1),
            ..*self
        }
    }
}

/// The size of the first of two parts.
fn first_part(operation: &str, fraction: f64, samples: usize) -> Result<usize> {
    let first = (fraction * samples as f64).round();
    if first >= 1.0 && first < samples as f64 {
        return Ok(first as usize);
    }
    let detail = if samples < 2 {
        format!("{samples} sample can't be in two parts; give more data")
    } else {
        format!(
            "a fraction of {fraction} of {samples} samples leaves one part empty; give {:.3} to {:.3}",
            1.0 / samples as f64,
            1.0 - 1.0 / samples as f64
        )
    };
    Err(Error::input(operation, detail))
}

fn check_folds(operation: &str, k: usize, of: usize, what: &str) -> Result<()> {
    if (2..=of).contains(&k) {
        return Ok(());
    }
    let detail = if of < 2 {
        format!("{of} {what} can't be in 2 folds; give more data")
    } else {
        format!("{k} folds of {of} {what}; give 2 to {of}")
    };
    Err(Error::input(operation, detail))
}

fn shuffled(mut samples: Vec<usize>, rng: &mut ChaCha8Rng) -> Vec<usize> {
    samples.shuffle(rng);
    samples
}

/// The fold of each sample, where those of each class are given out in turn; the next class goes on where the one before
/// it ended, so that the folds are of one size.
fn deal(classes: impl IntoIterator<Item = Vec<usize>>, samples: usize, k: usize) -> Vec<usize> {
    let mut folds = vec![0; samples];
    for (turn, sample) in classes.into_iter().flatten().enumerate() {
        folds[sample] = turn % k;
    }
    folds
}

/// The numbers of equal keys, in the order of their first.
fn alike<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> Vec<Vec<usize>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, key) in keys.enumerate() {
        let place = *places.entry(key).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(i);
    }
    groups
}
