//! Buffers that several threads work on, each in ranges of its own.

use std::ops::Range;

use super::pool::share;

/// Ranges of buffers, by the buffers' numbers.
pub(crate) type Ranges = Vec<(usize, Range<usize>)>;

/// What runs a call: given the numbers of its piece and of the call within it, what it reads and what it writes.
pub(crate) type Run<'a, const I: usize, const O: usize> =
    dyn Fn(usize, usize, [&[f32]; I], [&mut [f32]; O]) + Sync + 'a;

/// The buffers of one set of pieces, at most.
const MAX_BUFFERS: usize = 256;

/// Pieces of work on buffers: what one piece writes no other touches, so that they can run at the same time. Each is a list of
/// calls, in order, with what each reads and writes.
pub(crate) struct Disjoint {
    pieces: Vec<Vec<[Ranges; 2]>>,
    /// The buffers' own numbers, and how long each must be. The pieces count them from 0.
    buffers: Vec<(usize, usize)>,
}

/// A range that a call of a piece reads or writes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Touch {
    buffer: usize,
    start: usize,
    end: usize,
    piece: usize,
    call: usize,
    writes: bool,
}

impl Touch {
    /// Whether one that overlaps may not.
    fn clashes(&self, other: &Self) -> bool {
        (self.writes || other.writes) && (self.piece != other.piece || self.call == other.call)
    }
}

impl Disjoint {
    /// The pieces, if they are disjoint, and no call writes twice, or what it reads.
    pub(crate) fn new(mut pieces: Vec<Vec<[Ranges; 2]>>) -> Option<Self> {
        let mut buffers: Vec<(usize, usize)> = Vec::new();
        let mut touched = Vec::new();
        for (piece, calls) in pieces.iter_mut().enumerate() {
            for (call, lists) in calls.iter_mut().enumerate() {
                for (list, ranges) in lists.iter_mut().enumerate() {
                    for (buffer, range) in ranges {
                        let known = buffers.iter().position(|known| known.0 == *buffer);
                        let number = known.unwrap_or(buffers.len());
                        if number == buffers.len() {
                            buffers.push((*buffer, 0));
                        }
                        buffers[number].1 = buffers[number].1.max(range.end);
                        *buffer = number;
                        if range.start > range.end {
                            return None;
                        }
                        touched.push(Touch {
                            buffer: number,
                            start: range.start,
                            end: range.end,
                            piece,
                            call,
                            writes: list == 1,
                        });
                    }
                }
            }
        }
        touched.sort_unstable();
        // In the order of their starts, with those before that have not ended.
        let mut open: Vec<Touch> = Vec::new();
        let mut clash = false;
        for touch in touched {
            open.retain(|other| other.buffer == touch.buffer && other.end > touch.start);
            clash |= touch.start < touch.end && open.iter().any(|other| touch.clashes(other));
            open.push(touch);
        }
        let disjoint = buffers.len() <= MAX_BUFFERS && !clash;
        disjoint.then_some(Self { pieces, buffers })
    }

    /// How many pieces.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Runs all calls of these pieces, those of a piece in order, on up to this many threads. Where a call has fewer than `I`
    /// and `O` ranges the last are empty.
    pub(crate) fn run<const I: usize, const O: usize>(
        &self,
        threads: usize,
        part: Range<usize>,
        buffers: &mut [Vec<f32>],
        call: &Run<'_, I, O>,
    ) {
        let mut all = Buffers([std::ptr::null_mut(); MAX_BUFFERS]);
        for ((buffer, len), pointer) in self.buffers.iter().zip(&mut all.0) {
            let buffer = &mut buffers[*buffer];
            assert!(buffer.len() >= *len, "a buffer of {} elements; the pieces need {len}", buffer.len());
            *pointer = buffer.as_mut_ptr();
        }
        let all = &all;
        share(threads, part.len(), &|piece| {
            let piece = part.start + piece;
            for (number, [reads, writes]) in self.pieces[piece].iter().enumerate() {
                let mut inputs: [&[f32]; I] = [&[]; I];
                let mut outputs: [&mut [f32]; O] = std::array::from_fn(|_| Default::default());
                // SAFETY: the buffers are borrowed mutably until all pieces are done, are as long as was just checked, and
                // the ranges overlap neither within a call nor, as far as one is written, between pieces: `new` saw to it.
                unsafe {
                    for (input, (buffer, range)) in inputs.iter_mut().zip(reads) {
                        *input = std::slice::from_raw_parts(all.0[*buffer].add(range.start), range.len());
                    }
                    for (output, (buffer, range)) in outputs.iter_mut().zip(writes) {
                        *output = std::slice::from_raw_parts_mut(all.0[*buffer].add(range.start), range.len());
                    }
                }
                call(piece, number, inputs, outputs);
            }
        });
    }
}

/// Where the buffers begin.
struct Buffers([*mut f32; MAX_BUFFERS]);

// SAFETY: pieces make references to ranges that are disjoint.
unsafe impl Sync for Buffers {}

#[cfg(test)]
mod tests {
    use super::Disjoint;

    #[test]
    fn pieces_that_are_in_each_others_way_are_refused() {
        type Call<'a> = [&'a [(usize, std::ops::Range<usize>)]; 2];
        let new = |pieces: &[&[Call<'_>]]| {
            let calls = |calls: &&[Call<'_>]| calls.iter().map(|lists| lists.map(<[_]>::to_vec)).collect();
            Disjoint::new(pieces.iter().map(calls).collect()).is_some()
        };
        // Halves of a buffer, with the whole of another.
        assert!(new(&[&[[&[(7, 0..9)], &[(3, 0..5)]]], &[[&[(7, 0..9)], &[(3, 5..9)]]]]));
        // What one call of a piece wrote the next one reads.
        assert!(new(&[&[[&[], &[(3, 0..5)]], [&[(3, 0..5)], &[(4, 0..5)]]]]));
        for overlapping in [
            new(&[&[[&[], &[(3, 0..5)]]], &[[&[], &[(3, 4..9)]]]]),
            new(&[&[[&[], &[(3, 0..5)]]], &[[&[(3, 2..3)], &[]]]]),
            new(&[&[[&[(3, 0..9)], &[]]], &[[&[], &[(3, 8..10)]]]]),
            new(&[&[[&[(3, 0..9)], &[(3, 8..10)]]]]),
            new(&[&[[&[], &[(3, 0..9), (3, 1..2)]]]]),
        ] {
            assert!(!overlapping);
        }
    }

    #[test]
    fn calls_of_a_piece_run_in_order_and_find_what_was_written() {
        // Fill, then double, in three pieces.
        let piece = |start: usize| {
            let part = || vec![(1, start..start + 4)];
            vec![[vec![], part()], [part(), vec![(0, start..start + 4)]]]
        };
        let disjoint = Disjoint::new((0..3).map(|i| piece(4 * i)).collect()).unwrap();
        assert_eq!(disjoint.len(), 3);
        let mut buffers = vec![vec![0.0; 12], vec![0.0; 12]];
        for threads in [1, 2, 3] {
            disjoint.run(
                threads,
                0..3,
                &mut buffers,
                &|piece, call, [from]: [&[f32]; 1], [to, none]: [&mut [f32]; 2]| {
                    assert!(none.is_empty());
                    if call == 0 {
                        to.fill(piece as f32);
                    } else {
                        to.iter_mut().zip(from).for_each(|(to, from)| *to = 2.0 * from);
                    }
                },
            );
            assert_eq!(buffers[0], [0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 4.0, 4.0, 4.0, 4.0]);
            buffers[0].fill(9.0);
        }
    }
}
