//! Averages: what several networks give for the same value, added up and divided by their number.

use std::collections::BTreeSet;

use super::Chain;

/// A file whose nodes have to be looked at more often than this, each, counts as damaged.
const MOST_LOOKS: usize = 1000;

/// What a member gives, and its nodes.
type Member<'a> = (&'a str, BTreeSet<usize>);

impl<'a> Chain<'a> {
    /// The members of the average that begins at a value, which these nodes read, and the average.
    pub(super) fn averaged(&mut self, value: &str, readers: &[usize]) -> Option<(Vec<Member<'a>>, &'a str)> {
        if readers.len() < 2 {
            return None;
        }
        // From the last node on: an average comes before those that it is made of.
        for product in (0..self.file.nodes.len()).rev() {
            let Some(ends) = self.averages(product, readers.len()) else { continue };
            let members = ends.into_iter().map(|end| Some((end, self.nodes_between(value, end)?)));
            let Some(members) = members.collect::<Option<Vec<Member<'_>>>>() else { continue };
            // What comes after something else begins there: its members have that in common.
            let all: BTreeSet<usize> = members.iter().flat_map(|(_, nodes)| nodes).copied().collect();
            let count = members.iter().map(|(_, nodes)| nodes.len()).sum::<usize>();
            let is_near = self.members.last().is_none_or(|outer| outer.is_superset(&all));
            // Else a residual block begins here, of which the average is a part.
            let is_whole = readers.iter().all(|reader| all.contains(reader));
            if all.len() == count && is_near && is_whole && members.iter().all(|(_, nodes)| !nodes.is_empty()) {
                return Some((members, self.output(product).ok()?));
            }
        }
        None
    }

    /// The n values of which a node gives the sum times 1 / n.
    fn averages(&mut self, product: usize, most: usize) -> Option<Vec<&'a str>> {
        let node = self.file.nodes.get(product).filter(|node| node.op == "Mul")?;
        let factor = node.inputs.iter().find_map(|input| self.file.scalar(input))?;
        let count = (1.0 / factor).round();
        if !(2.0..=most as f32).contains(&count) || !self.is_by(node, "Mul", 1.0 / count) {
            return None;
        }
        let mut sum = *node.inputs.iter().find(|input| !self.file.tensors.contains_key(*input))?;
        let mut ends = Vec::new();
        for _ in 1..count as usize {
            self.look()?;
            let add = self.file.nodes.get(*self.writers.get(sum)?).filter(|node| node.op == "Add")?;
            let [before, last] = add.inputs[..] else { return None };
            ends.push(last);
            sum = before;
        }
        ends.push(sum);
        ends.reverse();
        Some(ends)
    }

    /// The nodes by which one value becomes another, if nothing else does.
    fn nodes_between(&mut self, start: &str, end: &'a str) -> Option<BTreeSet<usize>> {
        let (mut nodes, mut open) = (BTreeSet::new(), vec![end]);
        while let Some(value) = open.pop() {
            if value == start || value.is_empty() || self.file.tensors.contains_key(value) {
                continue;
            }
            let writer = *self.writers.get(value)?;
            if nodes.insert(writer) {
                self.look()?;
                open.extend(&self.file.nodes.get(writer)?.inputs);
            }
        }
        Some(nodes)
    }

    fn look(&mut self) -> Option<()> {
        self.looks += 1;
        (self.looks < MOST_LOOKS * self.file.nodes.len().max(1)).then_some(())
    }
}
