//! The networks of a table's model, and their training.

use rand::seq::SliceRandom;

use super::settings::Settings;
use crate::data::Dataset;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Average, CrossEntropy, Dropout, Linear, Module, Mse, Predictor, Sequential, Softmax};
use crate::optim::{Adam, Schedule};
use crate::random;
use crate::train::{EarlyStopping, Ensemble, Fit, History, Trainer};

/// Fewer rows than this are not held out: they would say too little about which epoch is the best.
const FEWEST_HELD_OUT: usize = 5;

/// What is trained by default where the settings don't say.
struct Plan {
    sizes: Vec<usize>,
    members: usize,
    batch_size: usize,
    epochs: usize,
}

impl Plan {
    /// The fewer the rows, the more often training goes through them: 15 to 100 times, in mini-batches of 32 to 256.
    fn new(settings: &Settings, rows: usize) -> Self {
        Self {
            sizes: settings.hidden_layer_sizes.clone().unwrap_or_else(|| vec![64]),
            // As many as the CPU path trains in the time of one.
            members: settings.members.unwrap_or(8),
            batch_size: settings.batch_size.unwrap_or((rows / 300).next_power_of_two().clamp(32, 256)),
            epochs: settings.epochs.unwrap_or((700.0 / (rows as f64).sqrt()).ceil().clamp(15.0, 100.0) as usize),
        }
    }
}

/// Trains the networks: on class numbers below `classes`, or on numbers. Gives their mean (of probabilities, for classes),
/// and the history of each.
pub(super) fn train(
    device: &Device,
    data: &Dataset,
    classes: Option<usize>,
    settings: &Settings,
) -> Result<(Predictor, Vec<History>)> {
    let plan = Plan::new(settings, data.len());
    let parts = parts(data, classes.is_some(), plan.members, settings);
    let loss = match classes {
        Some(classes) if settings.balanced => {
            Some(CrossEntropy::new().class_weights(data.balanced_class_weights(classes)?))
        }
        Some(_) => Some(CrossEntropy::new()),
        None => None,
    };
    let rule = Adam::new(settings.learning_rate)
        .decoupled_weight_decay(settings.weight_decay)
        .schedule(Schedule::cosine(plan.epochs, 0.0));
    let trainer = |member: usize| {
        let model = network(data.input_cols(), &plan.sizes, classes.unwrap_or(1), settings);
        let seed = settings.seed.wrapping_add(member as u64);
        match &loss {
            Some(loss) => Trainer::new(device, model, loss.clone(), rule.clone(), seed),
            None => Trainer::new(device, model, Mse::new(), rule.clone(), seed),
        }
    };
    let mut ensemble = Ensemble::new((0..plan.members).map(trainer))?;
    let fit = |member: usize| {
        let (train, held_out) = &parts[member];
        let fit = Fit::new(plan.epochs, plan.batch_size.min(train.len())).rows(train.iter().copied());
        #[cfg(feature = "progress")]
        let fit = fit.progress(settings.progress && member == 0);
        if held_out.is_empty() {
            return fit.evaluate_every(0);
        }
        fit.validation_rows(held_out.iter().copied())
            .evaluate_train(false)
            .early_stopping(EarlyStopping::new(settings.patience.unwrap_or(usize::MAX)))
    };
    let results = ensemble.fit(data, fit)?;
    let (mut sound, mut histories, mut failure) = (Vec::new(), Vec::new(), None);
    for (member, result) in ensemble.into_members().into_iter().zip(results) {
        match result {
            Ok(history) => {
                sound.push(member.into_model());
                histories.push(history);
            }
            Err(error) => {
                log::warn!("a network of several is left out: {error}");
                failure = Some(error);
            }
        }
    }
    if let (true, Some(error)) = (sound.is_empty(), failure) {
        return Err(Error::new(error.kind(), "fit", error.to_string()));
    }
    let members = sound.into_iter().map(|member| match classes {
        Some(_) => Sequential::new().add(member).add(Softmax),
        None => Sequential::new().add(member),
    });
    let predictor = Predictor::new(device, Sequential::new().add(Average::new(members)))?;
    Ok((predictor, histories))
}

fn network(inputs: usize, sizes: &[usize], outputs: usize, settings: &Settings) -> Sequential {
    let mut layers: Vec<Box<dyn Module>> = Vec::new();
    let mut cols = inputs;
    for size in sizes {
        layers.push(Box::new(Linear::new(cols, *size)));
        layers.push(Box::new(settings.activation));
        if settings.dropout != 0.0 {
            layers.push(Box::new(Dropout::new(settings.dropout)));
        }
        cols = *size;
    }
    layers.push(Box::new(Linear::new(cols, outputs)));
    Sequential::from(layers)
}

/// The rows that each member trains on, and those that it holds out: other ones for each, of every class its share, equally
/// many.
fn parts(data: &Dataset, has_classes: bool, members: usize, settings: &Settings) -> Vec<(Vec<u32>, Vec<u32>)> {
    let rows = data.len();
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let parts = (1.0 / settings.validation_fraction).round().clamp(2.0, rows.max(2) as f64) as usize;
    let size = if settings.validation_fraction > 0.0 { rows / parts } else { 0 };
    if size < FEWEST_HELD_OUT {
        return vec![(order, Vec::new()); members];
    }
    order.shuffle(&mut random::held_out(settings.seed));
    if has_classes {
        order.sort_by_key(|row| data.targets()[*row as usize] as u32);
    }
    let part = |member: usize| {
        let held_out: Vec<u32> = order.iter().copied().skip(member % parts).step_by(parts).take(size).collect();
        let mut is_held_out = vec![false; rows];
        held_out.iter().for_each(|row| is_held_out[*row as usize] = true);
        ((0..rows as u32).filter(|row| !is_held_out[*row as usize]).collect(), held_out)
    };
    (0..members).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_holds_out_other_rows_of_every_class() {
        let classes: Vec<f32> = (0..100).map(|row| f32::from(u8::from(row % 10 == 0))).collect();
        let data = Dataset::new(classes.clone(), 1, classes.clone(), 1).unwrap();
        let settings = Settings::new("y");
        let parts = parts(&data, true, 10, &settings);
        let mut all: Vec<u32> = parts.iter().flat_map(|(_, held_out)| held_out.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        for (train, held_out) in &parts {
            assert_eq!((train.len(), held_out.len()), (90, 10));
            assert_eq!(held_out.iter().filter(|row| classes[**row as usize] == 1.0).count(), 1);
            assert!(held_out.iter().all(|row| !train.contains(row)));
        }
        let few = Dataset::new(vec![0.0; 40], 1, vec![0.0; 40], 1).unwrap();
        assert!(
            super::parts(&few, false, 2, &settings).iter().all(|(train, rest)| train.len() == 40 && rest.is_empty())
        );
        let all = settings.validation_fraction(0.0);
        assert!(super::parts(&data, true, 1, &all)[0].1.is_empty());
    }
}
