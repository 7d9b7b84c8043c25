//! The calls that are to run, while rules merge neighbours. Nothing here knows any operation either.

use std::sync::Arc;

use crate::device::Tensor;
use crate::error::Result;
use crate::graph::{Graph, Node, Operation, Shape, Source, Var};

/// Looks at one call (by its index in the program) and its neighbours, and may return a call that does the work of two.
/// A rule is in the file of the operation that absorbs the other; it sees calls, never tensors or adapters.
pub type Rule = fn(&Program<'_>, usize) -> Option<Merge>;

/// A call that replaces those at `first` and `second`. Its outputs are among theirs.
#[derive(Debug)]
pub struct Merge {
    first: usize,
    second: usize,
    node: Node,
}

impl Merge {
    /// A call in place of those at two places.
    pub fn new(places: [usize; 2], op: impl Operation, inputs: Vec<Var>, outputs: Vec<Var>) -> Option<Self> {
        let [first, second] = [places[0].min(places[1]), places[0].max(places[1])];
        (first != second).then(|| Self { first, second, node: Node { op: Arc::new(op), inputs, outputs } })
    }
}

/// The calls that lead to the wanted values, in order.
#[derive(Debug)]
pub struct Program<'g> {
    graph: &'g Graph,
    nodes: Vec<Node>,
    /// Tensors of the values that are there before the program runs.
    given: Vec<Option<Tensor>>,
    wanted: Vec<bool>,
    writer: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
}

impl<'g> Program<'g> {
    /// Leaves out the calls whose outputs nobody wants, and those whose outputs are there: in tensors from outside, or
    /// in those of `before`, by the value's number.
    pub(crate) fn new(graph: &'g Graph, wanted: &[Var], before: &[Option<Tensor>]) -> Result<Self> {
        let mut given: Vec<Option<Tensor>> = vec![None; graph.values()];
        for (index, given) in given.iter_mut().enumerate() {
            *given = match &graph.values[index].source {
                Source::Tensor(tensor) => Some(tensor.clone()),
                _ => before.get(index).cloned().flatten(),
            };
        }
        let mut needed = vec![false; graph.values()];
        for var in wanted {
            graph.check(*var)?;
            needed[var.index] = true;
        }
        let wanted = needed.clone();
        let mut nodes = Vec::new();
        for node in graph.nodes().iter().rev() {
            if node.outputs.iter().any(|var| needed[var.index] && given[var.index].is_none()) {
                node.inputs.iter().for_each(|var| needed[var.index] = true);
                nodes.push(node.clone());
            }
        }
        nodes.reverse();
        let mut program = Self { graph, nodes, given, wanted, writer: Vec::new(), readers: Vec::new() };
        program.index();
        Ok(program)
    }

    fn index(&mut self) {
        self.writer.clear();
        self.writer.resize(self.graph.values(), None);
        self.readers.resize(self.graph.values(), Vec::new());
        self.readers.iter_mut().for_each(Vec::clear);
        for (i, node) in self.nodes.iter().enumerate() {
            node.outputs.iter().for_each(|var| self.writer[var.index] = Some(i));
            node.inputs.iter().for_each(|var| self.readers[var.index].push(i));
        }
    }

    /// Applies each rule wherever it fits, one rule after the other, until none fits anywhere.
    pub(crate) fn merge(&mut self, rules: &[Rule]) {
        // Each merge shortens the list, so this ends.
        loop {
            let before = self.nodes.len();
            rules.iter().for_each(|rule| self.apply(*rule));
            if self.nodes.len() == before {
                return;
            }
        }
    }

    fn apply(&mut self, rule: Rule) {
        let mut i = 0;
        while i < self.nodes.len() {
            let merge = rule(self, i).and_then(|merge| Some((self.place_for(&merge)?, merge)));
            let Some((to, merge)) = merge else {
                i += 1;
                continue;
            };
            self.nodes[to] = merge.node;
            self.nodes.remove(if to == merge.first { merge.second } else { merge.first });
            self.index();
            i = merge.first;
        }
    }

    /// Where the merged call can go: at the later place if nobody in between reads what the earlier call gives, else at
    /// the earlier place if what it reads is there by then. Nowhere if it would read what it gives, or if one of the two
    /// would pass a call that changes what it reads, or reads what it changes.
    fn place_for(&self, merge: &Merge) -> Option<usize> {
        let (first, second) = (self.nodes.get(merge.first)?, self.nodes.get(merge.second)?);
        let places = [merge.first, merge.second];
        if merge.node.inputs.iter().any(|x| self.writer(*x).is_some_and(|writer| places.contains(&writer))) {
            return None;
        }
        let between = merge.first + 1..merge.second;
        let passes = |moved: &Node| self.nodes[between.clone()].iter().all(|other| self.may_swap(moved, other));
        let read_between = first.outputs.iter().any(|y| self.readers(*y).iter().any(|r| between.contains(r)));
        if !read_between && passes(first) {
            return Some(merge.second);
        }
        let there = |x: &Var| self.writer(*x).is_none_or(|writer| writer < merge.first);
        (merge.node.inputs.iter().all(there) && passes(second)).then_some(merge.first)
    }

    /// Whether neither of two calls changes memory that the other one reads.
    fn may_swap(&self, one: &Node, other: &Node) -> bool {
        let changes_what_is_read = |writer: &Node, reader: &Node| {
            writer
                .op
                .in_place()
                .into_iter()
                .any(|(_, input)| reader.inputs.iter().any(|x| self.shares(writer.inputs[input], *x)))
        };
        !changes_what_is_read(one, other) && !changes_what_is_read(other, one)
    }

    /// Whether two values share memory. (What calls in place give has the memory of an operand, which must not be read any
    /// more.)
    pub(crate) fn shares(&self, a: Var, b: Var) -> bool {
        match (self.given(a), self.given(b)) {
            (Some(a), Some(b)) => a.overlaps(b),
            _ => a == b,
        }
    }

    /// The calls.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The operation at a place, if it is of this type.
    pub fn op<T: Operation>(&self, at: usize) -> Option<&T> {
        self.nodes.get(at)?.is()
    }

    /// The operands of the call at a place, if there are exactly `N`.
    pub fn inputs<const N: usize>(&self, at: usize) -> Option<[Var; N]> {
        self.nodes.get(at)?.inputs.as_slice().try_into().ok()
    }

    /// The call at a place.
    pub(crate) fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    /// The place of the call that gives a value; `None` for one that is there before the program runs.
    pub fn writer(&self, var: Var) -> Option<usize> {
        *self.writer.get(var.index)?
    }

    /// The places of the calls that read a value.
    pub fn readers(&self, var: Var) -> &[usize] {
        self.readers.get(var.index).map_or(&[], Vec::as_slice)
    }

    /// The call that gave a value when the graph was made, whatever has become of it since: what the value means.
    pub fn called(&self, var: Var) -> Option<&Node> {
        match self.graph.values.get(var.index)?.source {
            Source::Call(node) => self.graph.nodes.get(node),
            _ => None,
        }
    }

    /// Whether nobody but the call at this place reads a value, not even after the run.
    pub fn only_for(&self, var: Var, reader: usize) -> bool {
        !self.is_wanted(var) && self.readers(var).iter().all(|r| *r == reader)
    }

    /// Whether a value is read after the run.
    pub(crate) fn is_wanted(&self, var: Var) -> bool {
        self.wanted.get(var.index).is_some_and(|wanted| *wanted)
    }

    /// The value in whose memory this one is computed: itself, or through calls in place the one they began with.
    pub fn home(&self, var: Var) -> Var {
        let Some(node) = self.writer(var).map(|at| &self.nodes[at]) else { return var };
        let taken = node.op.in_place().into_iter().find(|(output, _)| node.outputs.get(*output) == Some(&var));
        taken.map_or(var, |(_, input)| self.home(node.inputs[input]))
    }

    /// The tensor of a value that is there before the program runs.
    pub(crate) fn given(&self, var: Var) -> Option<&Tensor> {
        self.given.get(var.index)?.as_ref()
    }

    /// Whether a value lies in memory that outlives the program's own.
    pub fn is_given(&self, var: Var) -> bool {
        self.given(self.home(var)).is_some()
    }

    /// A value's shape.
    pub fn shape(&self, var: Var) -> Shape {
        self.graph.values.get(var.index).map_or([0, 0], |value| value.shape)
    }

    /// The value of this number.
    pub(crate) fn var(&self, index: usize) -> Var {
        Var { graph: self.graph.id, index }
    }

    /// The graph that it runs.
    pub(crate) fn graph(&self) -> &'g Graph {
        self.graph
    }
}
