//! Messages between ranks. Each exchange begins with a message of the same size from every rank to every other, so that a
//! rank that can't go on can say so at any point; what does not fit into it follows.

use std::time::{Duration, Instant};

use mpi::request::{Request, Scope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use wgrad::ops::Reduction;
use wgrad::{Error, ErrorKind, Result};

use crate::lost::give_up;

/// Words of a message before its payload.
const HEADER: usize = 6;

/// Words of a message's payload, until a gradient has shown how many it takes.
const INLINE: usize = 64;

/// Words that all ranks' gradients together may have to be sent whole from each to every rank. Larger ones are added up
/// in parts, so that no rank has more than its own, twice.
const WHOLE: usize = 1 << 17;

/// Bytes of a text that says why a rank can't go on.
const REASON: usize = 1024;

/// Bytes that are sent at once.
const PIECE: usize = 1 << 26;

/// The kinds of errors that a rank tells the others.
const KINDS: [ErrorKind; 7] = [
    ErrorKind::InvalidInput,
    ErrorKind::NotFinite,
    ErrorKind::Io,
    ErrorKind::OutOfMemory,
    ErrorKind::DeviceLost,
    ErrorKind::Shape,
    ErrorKind::Kernel,
];

/// What ranks exchange, so that those at different points of a program are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Agreement,
    Answer,
    Facts,
    Steps,
    Numbers,
    Gradient,
    File,
}

/// What every rank has sent: how much it counts, and its payload.
pub(crate) type Gathered = Vec<(f64, Vec<u32>)>;

/// This rank's end of the wires.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    pub(crate) timeout: Duration,
    /// Words of a message's payload.
    inline: usize,
    /// Whether all ranks have heard why training can't go on.
    pub(crate) all_know: bool,
    /// Exchanges so far.
    exchanges: u64,
    /// Of large gradients, this rank's and what it gets: new memory for each step would cost more than what is done with it.
    room: [Vec<f32>; 2],
}

impl Wire {
    pub(crate) fn new() -> Self {
        let world = SimpleCommunicator::world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        let (timeout, room) = (Duration::from_secs(60), [const { Vec::new() }; 2]);
        Self { rank, size, timeout, inline: INLINE, all_know: false, exchanges: 0, room }
    }

    /// Sends this to every rank, and gives what each has sent, in the order of ranks. The payloads of [`Kind::Facts`] and
    /// [`Kind::File`] may be of different lengths; others are an error then.
    pub(crate) fn gather(&mut self, kind: Kind, count: f64, payload: &[u32]) -> Result<Gathered> {
        let mut gathered = self.heads(kind, count, payload.len(), payload)?;
        let longest = gathered.iter().map(|(len, _, _)| *len).max().unwrap_or_default();
        if longest > self.inline {
            let mut own = payload.to_vec();
            own.resize(longest, 0);
            let mut all = vec![0; longest * self.size];
            self.all_gather(&own, &mut all);
            gathered.iter_mut().zip(all.chunks(longest)).for_each(|(to, from)| to.2 = from.to_vec());
            if kind == Kind::Gradient {
                self.inline = longest;
            }
        }
        let cut = |(len, count, mut payload): (usize, f64, Vec<u32>)| {
            payload.truncate(len);
            (count, payload)
        };
        Ok(gathered.into_iter().map(cut).collect())
    }

    /// The first messages: of each rank the length of its payload, how much it counts, and as much of the payload as
    /// there is room for if all of it has.
    fn heads(&mut self, kind: Kind, count: f64, len: usize, payload: &[u32]) -> Result<Vec<(usize, f64, Vec<u32>)>> {
        let all = self.exchange_heads(0, kind, count, len, payload);
        if let Some(failed) = all.iter().position(|head| head[0] != 0) {
            return Err(self.reason(failed, all[failed][0], ""));
        }
        let described = |head: &[u32]| (head[1], head[2]);
        let own = described(&all[self.rank]);
        let alike =
            |head: &Vec<u32>| head[1] == own.0 && (head[2] == own.1 || matches!(kind, Kind::Facts | Kind::File));
        if !all.iter().all(alike) {
            self.all_know = true;
            let list: Vec<_> = all.iter().map(|head| format!("{} of {} words", head[1], head[2])).collect();
            let detail = format!(
                "the ranks are at different points of the program (exchanges {}); all must make the same calls in the same order",
                list.join(", ")
            );
            return Err(Error::new(ErrorKind::InvalidInput, "mpi", detail));
        }
        let parts = |head: Vec<u32>| {
            let count = f64::from_bits(u64::from(head[3]) | u64::from(head[4]) << 32);
            (head[2] as usize, count, head[HEADER..].to_vec())
        };
        Ok(all.into_iter().map(parts).collect())
    }

    fn exchange_heads(&mut self, status: u32, kind: Kind, count: f64, len: usize, payload: &[u32]) -> Vec<Vec<u32>> {
        self.exchanges += 1;
        let mut own = vec![0; HEADER + self.inline];
        let bits = count.to_bits();
        own[..HEADER - 1].copy_from_slice(&[status, kind as u32, len as u32, bits as u32, (bits >> 32) as u32]);
        if payload.len() <= self.inline {
            own[HEADER..HEADER + payload.len()].copy_from_slice(payload);
        }
        let mut all = vec![0; own.len() * self.size];
        self.all_gather(&own, &mut all);
        all.chunks(own.len()).map(<[u32]>::to_vec).collect()
    }

    /// Tells all ranks, whatever they are about to exchange, that this one can't go on, and why. Gives the error that all
    /// get.
    pub(crate) fn fail(&mut self, error: &Error) -> Error {
        let kind = KINDS.iter().position(|kind| *kind == error.kind()).unwrap_or_default();
        let all = self.exchange_heads(kind as u32 + 1, Kind::Agreement, 0.0, 0, &[]);
        // Another rank may have failed at the same point; the first one's reason counts.
        let failed = all.iter().position(|head| head[0] != 0).unwrap_or(self.rank);
        self.reason(failed, all[failed][0], &error.to_string())
    }

    /// The reason of a rank that has failed. `own` is this rank's, if it has one.
    fn reason(&mut self, failed: usize, status: u32, own: &str) -> Error {
        let mut text = own.as_bytes().to_vec();
        text.resize(REASON, 0);
        let mut all = vec![0; REASON * self.size];
        self.all_gather(&text, &mut all);
        self.all_know = true;
        let text = String::from_utf8_lossy(&all[failed * REASON..(failed + 1) * REASON]);
        let kind = KINDS.get(status as usize - 1).copied().unwrap_or(ErrorKind::InvalidInput);
        Error::new(kind, format!("rank {failed}"), text.trim_end_matches(['\0', '\u{fffd}']))
    }

    /// Makes a gradient and a loss of this rank, which count so much, those of all. Gives the loss, and how much all count.
    pub(crate) fn combine(
        &mut self,
        values: &mut [f32],
        loss: f32,
        count: f64,
        reduction: Reduction,
    ) -> Result<(f32, f64)> {
        let len = values.len() + 1;
        if len * self.size > WHOLE {
            return self.combine_in_parts(values, loss, count, reduction);
        }
        let own: Vec<u32> = values.iter().chain([&loss]).map(|value| value.to_bits()).collect();
        let all = self.gather(Kind::Gradient, count, &own)?;
        let counts: Vec<f64> = all.iter().map(|(count, _)| *count).collect();
        let all: Vec<Vec<f32>> =
            all.into_iter().map(|(_, own)| own.into_iter().map(f32::from_bits).collect()).collect();
        let parts: Vec<&[f32]> = all.iter().map(|own| &own[..]).collect();
        let mut whole = vec![0.0; len];
        reduction.combine_into(&parts, &counts, &mut whole);
        values.copy_from_slice(&whole[..len - 1]);
        Ok((whole[len - 1], counts.iter().sum()))
    }

    /// The same of a large gradient: each rank adds up one part of it, in the order of ranks, so that the bits are the same.
    fn combine_in_parts(
        &mut self,
        values: &mut [f32],
        loss: f32,
        count: f64,
        reduction: Reduction,
    ) -> Result<(f32, f64)> {
        let len = values.len() + 1;
        let heads = self.heads(Kind::Gradient, count, len, &[])?;
        let counts: Vec<f64> = heads.iter().map(|(_, count, _)| *count).collect();
        let part = len.div_ceil(self.size);
        let [mut own, mut all] = std::mem::take(&mut self.room);
        own.clear();
        own.extend_from_slice(values);
        own.push(loss);
        own.resize(part * self.size, 0.0);
        all.resize(own.len(), 0.0);
        scope(|scope| {
            let world = SimpleCommunicator::world();
            self.wait(world.immediate_all_to_all_into(scope, &own[..], &mut all[..]));
        });
        let parts: Vec<&[f32]> = all.chunks(part).collect();
        reduction.combine_into(&parts, &counts, &mut own[..part]);
        self.all_gather(&own[..part], &mut all);
        values.copy_from_slice(&all[..len - 1]);
        let loss = all[len - 1];
        self.room = [own, all];
        Ok((loss, counts.iter().sum()))
    }

    /// The bytes that rank 0 has, on every rank.
    pub(crate) fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let len = bytes.len() as u64;
        let all = self.gather(Kind::File, 0.0, &[len as u32, (len >> 32) as u32])?;
        let len = all.first().map_or(0, |(_, words)| u64::from(words[0]) | u64::from(words[1]) << 32);
        let mut all = bytes;
        all.resize(len as usize, 0);
        for piece in all.chunks_mut(PIECE) {
            scope(|scope| {
                let world = SimpleCommunicator::world();
                self.wait(world.process_at_rank(0).immediate_broadcast_into(scope, piece));
            });
        }
        Ok(all)
    }

    fn all_gather<T: Equivalence>(&self, own: &[T], all: &mut [T]) {
        scope(|scope| {
            self.wait(SimpleCommunicator::world().immediate_all_gather_into(scope, own, all));
        });
    }

    /// Waits for an exchange, and ends all ranks if it takes too long.
    fn wait<'a, D: ?Sized, S: Scope<'a>>(&self, mut request: Request<'a, D, S>) {
        let (start, mut tries) = (Instant::now(), 0_u32);
        while let Err(pending) = request.test() {
            request = pending;
            tries += 1;
            if !tries.is_multiple_of(64) {
                continue;
            }
            let waited = start.elapsed();
            if waited > self.timeout {
                give_up(self.rank, self.size, waited, self.exchanges);
            }
            // Ranks may share a processor, and training may use all of them.
            match waited.as_millis() {
                0..5 => std::thread::yield_now(),
                _ => std::thread::sleep(Duration::from_micros(50)),
            }
        }
    }
}
