//! A checkpoint of some ranks goes on with others.

use wgrad::data::{Labels, disk};
use wgrad::nn::{BatchNorm1d, Linear, Mse, ReLU, Sequential};
use wgrad::optim::{Adam, Schedule};
use wgrad::{Device, Fit, Trainer};

use crate::launch::on_ranks;

fn trainer() -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 16)).add(BatchNorm1d::new(16)).add(ReLU).add(Linear::new(16, 1));
    let adam = Adam::new(0.02).schedule(Schedule::cosine(8, 0.1));
    Trainer::new(&Device::cpu(), model, Mse::new(), adam, 1).unwrap()
}

fn hash(trainer: &Trainer) -> u64 {
    let values = trainer.parameters().read().unwrap();
    let all = values.iter().chain(&trainer.history().step_losses);
    all.fold(0, |hash: u64, value| hash.wrapping_mul(31) ^ u64::from(value.to_bits()))
}

/// Two ranks train eight epochs; four, and then the rest from the checkpoint, which gives the same bits; three ranks and
/// one go on with it, too. The file is rank 0's: the others are given a path where nothing is.
#[test]
fn a_checkpoint_goes_on_with_any_number_of_ranks() {
    let test = "checkpoints::a_checkpoint_goes_on_with_any_number_of_ranks";
    let hashes = on_ranks(&[2, 3, 1], test, |world, folder| {
        let data = world.part(&disk(150, 0, Labels::PlusMinusOne).unwrap()).unwrap();
        let path = folder.join(if world.rank() == 0 { "checkpoint" } else { "nothing" });
        let mut hashes = Vec::new();
        if world.size() == 2 {
            let mut whole = trainer();
            world.fit(&mut whole, &data, Fit::until(8, 10)).unwrap();
            hashes.push(hash(&whole));
            let mut first = trainer();
            world.fit(&mut first, &data, Fit::until(4, 10).checkpoint(&path, 2)).unwrap();
        }
        assert!(!folder.join("nothing").exists());
        let mut resumed = trainer();
        world.resume(&mut resumed, &path).unwrap();
        assert_eq!(resumed.history().epochs.len(), 4);
        assert_eq!(resumed.optimizer().steps(), 4 * 8);
        world.fit(&mut resumed, &data, Fit::until(8, 10)).unwrap();
        assert_eq!(resumed.history().epochs.len(), 8);
        assert!(resumed.history().epochs[7].loss < resumed.history().epochs[3].loss);
        hashes.push(hash(&resumed));
        if world.size() == 1 {
            // Which is plain training from there.
            let mut alone = trainer();
            alone.resume(&path).unwrap();
            alone.fit(&data, Fit::until(8, 10)).unwrap();
            assert_eq!(hash(&alone), hash(&resumed));
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:x?}");
        format!("{:x}", hashes[0])
    });
    for hashes in hashes {
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    }
}
