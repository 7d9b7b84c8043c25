//! What a trainer's exchange is over MPI.

use wgrad::ops::Reduction;
use wgrad::{Error, ErrorKind, Exchange, Result, StepGradient};

use crate::wire::{Kind, Wire};

/// Between facts in a message; no fact has one.
const END: char = '\u{1}';

/// All ranks, as an [`Exchange`].
pub(crate) struct Ranks<'w> {
    pub(crate) wire: &'w mut Wire,
    /// Steps of this call.
    pub(crate) steps: u64,
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.iter().map(|byte| u32::from(*byte)).collect()
}

fn text(words: &[u32]) -> String {
    String::from_utf8_lossy(&words.iter().map(|word| *word as u8).collect::<Vec<_>>()).into_owned()
}

/// A fact as a message shows it: from a little before the place where it differs, and not too much of it.
fn shown(fact: &str, other: &str) -> String {
    let alike = fact.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let (skipped, shown) = (alike.saturating_sub(20), 60);
    let part: String = fact.chars().skip(skipped).take(shown).collect();
    let before = if skipped > 0 { "..." } else { "" };
    let after = if fact.chars().count() > skipped + shown { "..." } else { "" };
    format!("'{before}{part}{after}'")
}

impl Exchange for Ranks<'_> {
    fn gradient(&mut self, step: &mut StepGradient<'_>) -> Result<()> {
        self.steps += 1;
        let odd = match step.values.iter().position(|value| !value.is_finite()) {
            _ if !step.loss.is_finite() => Some(format!("the loss of its rows is {}", step.loss)),
            Some(at) => Some(format!("the gradient of its rows has {} (number {at})", step.values[at])),
            None => None,
        };
        if let Some(odd) = odd {
            let detail = format!("{odd} in step {} of this call; try a smaller learning rate", self.steps);
            return Err(self.wire.fail(&Error::new(ErrorKind::NotFinite, "fit", detail)));
        }
        (step.loss, step.count) = self.wire.combine(step.values, step.loss, step.count, step.reduction)?;
        Ok(())
    }

    fn combine(&mut self, numbers: &mut [f64], count: f64, reduction: Reduction) -> Result<()> {
        let own: Vec<u32> = numbers.iter().flat_map(|number| halves(number.to_bits())).collect();
        let all = self.wire.gather(Kind::Numbers, count, &own)?;
        let counts: Vec<f64> = all.iter().map(|(count, _)| *count).collect();
        let number = |own: &[u32], i: usize| f64::from_bits(u64::from(own[2 * i]) | u64::from(own[2 * i + 1]) << 32);
        for (i, to) in numbers.iter_mut().enumerate() {
            let of_all: Vec<f64> = all.iter().map(|(_, own)| number(own, i)).collect();
            *to = reduction.combine(&of_all, &counts);
        }
        Ok(())
    }

    fn same(&mut self, facts: &[(&str, String)]) -> Result<()> {
        let own: Vec<String> = facts.iter().map(|(_, fact)| fact.replace(END, " ")).collect();
        let all = self.wire.gather(Kind::Facts, 0.0, &words(own.join(&END.to_string()).as_bytes()))?;
        let all: Vec<String> = all.iter().map(|(_, words)| text(words)).collect();
        let first: Vec<&str> = all[0].split(END).collect();
        for (rank, facts_of) in all.iter().enumerate() {
            let theirs: Vec<&str> = facts_of.split(END).collect();
            for ((name, _), (theirs, first)) in facts.iter().zip(theirs.iter().zip(&first)) {
                if theirs != first {
                    self.wire.all_know = true;
                    let [of_rank, of_first] = [shown(theirs, first), shown(first, theirs)];
                    let detail =
                        format!("{name}: rank {rank} has {of_rank}, rank 0 has {of_first}; give all ranks the same");
                    return Err(Error::new(ErrorKind::InvalidInput, "mpi", detail));
                }
            }
        }
        Ok(())
    }

    fn steps(&mut self, own: usize) -> Result<usize> {
        let all = self.wire.gather(Kind::Steps, 0.0, &halves(own as u64))?;
        let steps = |words: &[u32]| (u64::from(words[0]) | u64::from(words[1]) << 32) as usize;
        Ok(all.iter().map(|(_, words)| steps(words)).max().unwrap_or(own))
    }

    fn rank(&self) -> usize {
        self.wire.rank
    }
}

fn halves(bits: u64) -> [u32; 2] {
    [bits as u32, (bits >> 32) as u32]
}
