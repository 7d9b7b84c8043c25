//! What is wrong on one rank is an error of all, with the rank's number.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Linear, Mse, Sequential, Tanh};
use wgrad::optim::{Adam, Sgd};
use wgrad::{Device, Error, ErrorKind, Fit, Trainer};
use wgrad_mpi::World;

use crate::launch::{on_ranks, rank};

fn trainer(width: usize, rate: f32, seed: u64) -> Trainer {
    let model = Sequential::new().add(Linear::new(2, width)).add(Tanh).add(Linear::new(width, 1));
    Trainer::new(&Device::cpu(), model, Mse::new(), Adam::new(rate), seed).unwrap()
}

#[test]
fn what_differs_between_ranks_is_named() {
    on_ranks(&[2, 3], "errors::what_differs_between_ranks_is_named", |world, _| {
        let odd = world.rank() == 1;
        let data = disk(60, 0, Labels::PlusMinusOne).unwrap();
        let pick = |one: usize, other: usize| if odd { other } else { one };
        let mut check = |mut trainer: Trainer, fit: Fit<'_>, words: &[&str]| {
            let error = world.fit(&mut trainer, &data, fit).unwrap_err().to_string();
            for word in words.iter().chain(&["rank 1 has ", "rank 0 has "]) {
                assert!(error.contains(word), "{word} is not in: {error}");
            }
            assert!(trainer.history().epochs.is_empty());
        };
        check(trainer(8, 0.01, pick(3, 4) as u64), Fit::new(2, 10), &["the seed", "'4'", "'3'"]);
        check(trainer(pick(8, 9), 0.01, 0), Fit::new(2, 10), &["parameters", "[8, 2]", "[9, 2]"]);
        check(trainer(8, [0.01, 0.02][usize::from(odd)], 0), Fit::new(2, 10), &["the algorithm", "0.02"]);
        check(trainer(8, 0.01, 0), Fit::new(2, pick(10, 12)), &["batch size"]);
        check(trainer(8, 0.01, 0), Fit::new(pick(2, 3), 10), &["number of epochs"]);
        let changed = trainer(8, 0.01, 0);
        if odd {
            changed.parameters().named().next().unwrap().1.value().unwrap().write(&[0.5; 16]).unwrap();
        }
        check(changed, Fit::new(2, 10), &["values of parameters"]);
        // All goes on afterwards.
        world.fit(&mut trainer(8, 0.01, 0), &data, Fit::new(2, 10)).unwrap();
        String::new()
    });
}

#[test]
fn an_error_of_one_rank_is_one_of_all() {
    on_ranks(&[2, 3], "errors::an_error_of_one_rank_is_one_of_all", |world, folder| {
        let odd = world.rank() == 1;
        let data = disk(60, 0, Labels::PlusMinusOne).unwrap();
        // Before anything is exchanged.
        let other = Dataset::new(vec![0.5; 90], 3, vec![0.5; 30], 1).unwrap();
        let error = world.fit(&mut trainer(8, 0.01, 0), if odd { &other } else { &data }, Fit::new(2, 10)).unwrap_err();
        assert!(error.to_string().starts_with("rank 1: "), "{error}");
        assert_eq!(error.kind(), ErrorKind::Shape);
        // In the middle: a loss that is infinite on one rank.
        let far = Dataset::new(data.inputs().to_vec(), 2, vec![3e38; 60], 1).unwrap();
        let mut one = trainer(8, 0.01, 0);
        let error = world.fit(&mut one, if odd { &far } else { &data }, Fit::new(2, 10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFinite);
        assert!(error.to_string().starts_with("rank 1: fit: the loss of its rows is inf in step 1 "), "{error}");
        assert!(one.history().epochs.is_empty());
        // A file that rank 0 can't write; on a rank whose callback panics.
        let nowhere = folder.join("no").join("where.safetensors");
        let error = world.fit(&mut one, &data, Fit::new(2, 10).checkpoint(&nowhere, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        let fit = Fit::new(4, 10).on_epoch(|record| assert!(!odd || record.epoch < 2, "not this epoch"));
        let result = catch_unwind(AssertUnwindSafe(|| world.fit(&mut one, &data, fit)));
        match result {
            Err(_) => assert!(odd),
            Ok(result) => assert_eq!(result.unwrap_err().to_string(), "rank 1: fit: a callback panicked"),
        }
        // Outside of training.
        let own = if odd { Err(Error::new(ErrorKind::Io, "csv", "no file")) } else { Ok(7) };
        let error = world.agree(own).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Io, "rank 1: csv: no file".into()));
        assert_eq!(world.agree(Ok(7)).unwrap(), 7);
        let error = world.resume(&mut one, folder.join("none")).unwrap_err();
        assert!(error.to_string().starts_with("rank 0: resume: "), "{error}");
        // Ranks that do different things.
        let error = if odd {
            world.agree(Ok(())).unwrap_err()
        } else {
            world.fit(&mut trainer(8, 0.01, 0), &data, Fit::new(1, 10)).unwrap_err()
        };
        assert!(error.to_string().contains("different points of the program"), "{error}");
        world.fit(&mut trainer(8, 0.01, 0), &data, Fit::new(2, 10)).unwrap();
        let error = world.part(&Dataset::new(vec![1.0], 1, vec![1.0], 1).unwrap()).unwrap_err();
        assert!(error.to_string().contains("1 rows for "), "{error}");
        String::new()
    });
}

/// Without a launcher a program is one rank. A launcher that MPI does not know of is an error, as is a second world.
#[test]
fn a_process_alone_is_one_rank_unless_it_was_launched() {
    if rank().is_some() || std::env::var_os("WGRAD_MPI_ALONE").is_some() {
        return alone();
    }
    let run = |launched: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "errors::a_process_alone_is_one_rank_unless_it_was_launched", "--nocapture"]);
        command.env("WGRAD_MPI_ALONE", "1");
        launched.map(|size| command.env("MV2_COMM_WORLD_SIZE", size));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run(None).contains("rank 0 of 1"));
    let error = run(Some("4"));
    assert!(
        error.contains("4 processes were launched, but MPI knows of 1: this mpirun belongs to another MPI"),
        "{error}"
    );
}

fn alone() {
    let mut world = match World::new() {
        Ok(world) => world,
        Err(error) => return println!("{error}"),
    };
    println!("rank {} of {}: {world:?}", world.rank(), world.size());
    let error = World::new().unwrap_err().to_string();
    assert!(error.contains("one World"), "{error}");
    let data = disk(60, 0, Labels::PlusMinusOne).unwrap();
    let new = || Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0).unwrap();
    let (mut one, mut other) = (new(), new());
    world.fit(&mut one, &data, Fit::new(2, 10)).unwrap();
    other.fit(&data, Fit::new(2, 10)).unwrap();
    assert_eq!(one.parameters().read().unwrap(), other.parameters().read().unwrap());
}
