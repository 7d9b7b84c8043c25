//! All ranks of a program.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::Duration;

use mpi::Threading;
use mpi::environment::Universe;
use wgrad::data::Dataset;
use wgrad::{Error, ErrorKind, Fit, History, Result, Trainer};

use crate::ranks::Ranks;
use crate::wire::{Kind, Wire};

/// By which launchers tell a process how many there are.
const LAUNCHED: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];

/// All ranks of a program that `mpirun` has started, or the process alone where nothing has.
///
/// There is one in a process, as MPI can be initialised once. Calls that take `&mut self` are made by all ranks, in the
/// same order.
pub struct World {
    wire: Wire,
    _universe: Universe,
}

fn error(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "mpi", detail)
}

impl World {
    /// Initialises MPI.
    ///
    /// # Errors
    /// A second one in a process; a launcher of another MPI than the one that this program was linked with, whose
    /// processes would not find each other.
    pub fn new() -> Result<Self> {
        let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Serialized) else {
            return Err(error("MPI is initialised already; a process has one World, which it passes around"));
        };
        let wire = Wire::new();
        let launched = LAUNCHED.iter().find_map(|name| std::env::var(name).ok()?.parse::<usize>().ok());
        if let Some(launched) = launched.filter(|launched| *launched != wire.size) {
            let detail = format!(
                "{launched} processes were launched, but MPI knows of {}: this mpirun belongs to another MPI than {}",
                wire.size,
                mpi::environment::library_version().unwrap_or_default().lines().next().unwrap_or_default()
            );
            return Err(error(detail));
        }
        if threading < Threading::Serialized {
            return Err(error(format!(
                "this MPI allows calls from one thread only ({threading:?}); build it with threads"
            )));
        }
        Ok(Self { wire, _universe: universe })
    }

    /// How long a rank waits for the others, 60 s unless set: longer than any of them computes, reads or writes alone.
    /// After that it says which rank does not answer, and ends all.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.wire.timeout = timeout;
        self
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.wire.rank
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.wire.size
    }

    /// This rank's part of data that all ranks have: every `size`-th row, beginning with row `rank`.
    ///
    /// # Errors
    /// Fewer rows than ranks.
    pub fn part(&self, data: &Dataset) -> Result<Dataset> {
        let rows: Vec<usize> = (self.rank()..data.len()).step_by(self.size()).collect();
        if data.len() < self.size() {
            return Err(error(format!("{} rows for {} ranks; start fewer ranks", data.len(), self.size())));
        }
        data.select(&rows)
    }

    /// What a rank has done by itself, such as reading its rows: the error of one is an error of all.
    ///
    /// # Errors
    /// That of the first rank that has one, with its number.
    pub fn agree<T>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => self.wire.gather(Kind::Agreement, 0.0, &[]).map(|_| value),
            Err(error) => Err(self.wire.fail(&error)),
        }
    }

    /// Trains one model on the rows of all ranks, by [`Trainer::fit`] with [`Fit::exchange`]; each rank gives its own
    /// rows, and the same trainer and options.
    ///
    /// # Errors
    /// What [`Trainer::fit`] refuses, on any rank: all ranks get the error, with the rank's number, and their trainers
    /// are at the last epoch of the history. Other models, values, seeds or options on one rank than on another.
    pub fn fit(&mut self, trainer: &mut Trainer, rows: &Dataset, fit: Fit<'_>) -> Result<History> {
        self.wire.all_know = false;
        let wire = &mut self.wire;
        let trained = catch_unwind(AssertUnwindSafe(|| trainer.fit(rows, fit.exchange(Ranks { wire, steps: 0 }))));
        match trained {
            Ok(Ok(history)) => self.agree(Ok(history)),
            Ok(Err(error)) if self.wire.all_know => Err(error),
            Ok(Err(error)) => Err(self.wire.fail(&error)),
            Err(panic) => {
                if !self.wire.all_know {
                    self.wire.fail(&Error::new(ErrorKind::InvalidInput, "fit", "a callback panicked"));
                }
                resume_unwind(panic)
            }
        }
    }

    /// Whether rank 0 has this file: the answer is the same on all ranks, whose file systems may differ.
    ///
    /// # Errors
    /// That of a rank that can't go on.
    pub fn has_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<bool> {
        let there = self.rank() == 0 && path.as_ref().exists();
        let all = self.wire.gather(Kind::Answer, 0.0, &[u32::from(there)])?;
        Ok(all.first().is_some_and(|(_, answer)| answer[0] == 1))
    }

    /// Restores a checkpoint on all ranks, of which rank 0 alone has to have the file: see
    /// [`Trainer::resume`]. The training that wrote it may have had another number of ranks.
    ///
    /// # Errors
    /// What [`Trainer::resume`] refuses, on any rank.
    pub fn resume(&mut self, trainer: &mut Trainer, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = match self.rank() {
            0 => std::fs::read(path)
                .map_err(|error| Error::new(ErrorKind::Io, "resume", format!("{}: {error}", path.display()))),
            _ => Ok(Vec::new()),
        };
        let bytes = self.agree(bytes)?;
        let bytes = self.wire.broadcast(bytes)?;
        let resumed = pollster::block_on(trainer.session().resume_from_bytes(&bytes));
        self.agree(resumed)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(rank {} of {})", self.rank(), self.size())
    }
}
