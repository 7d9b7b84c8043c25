//! Members of an ensemble side by side: each element of a tensor is a vector, with a member in every lane.

use std::cell::Cell;

use crate::device::kernel::{Call, MAX_INPUTS, MAX_OUTPUTS};
pub(crate) use crate::simd::MEMBERS;

/// An element of each member.
pub(crate) type Lanes = [f32; MEMBERS];

/// An input of all members.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    /// Each member has its own.
    Own(&'a [Lanes]),
    /// All have the same, like a dataset.
    Shared(&'a [f32]),
}

impl Values<'_> {
    /// An element of each member.
    #[inline(always)]
    pub(crate) fn at(&self, index: usize) -> Lanes {
        match self {
            Self::Own(values) => values[index],
            Self::Shared(values) => [values[index]; MEMBERS],
        }
    }

    /// An element of one member.
    #[inline(always)]
    pub(crate) fn of(&self, member: usize, index: usize) -> f32 {
        match self {
            Self::Own(values) => values[index][member],
            Self::Shared(values) => values[index],
        }
    }
}

impl Default for Values<'_> {
    fn default() -> Self {
        Self::Shared(&[])
    }
}

/// What a kernel does for members side by side, given what it does for one.
pub(crate) type LaneFunction = fn(LaneCall<'_>, fn(Call<'_>));

/// A [`Call`] for all members at once. Each has parameters of its own, of which those that decide the course of loops are
/// alike.
#[derive(Debug)]
pub(crate) struct LaneCall<'a> {
    pub(crate) params: [&'a [u8]; MEMBERS],
    pub(crate) step: usize,
    pub(crate) inputs: [Values<'a>; MAX_INPUTS],
    pub(crate) outputs: [&'a mut [Lanes]; MAX_OUTPUTS],
}

thread_local! {
    /// A member's inputs and outputs, kept from call to call.
    static MEMBER: Cell<[Vec<f32>; MAX_INPUTS + MAX_OUTPUTS]> = const { Cell::new([const { Vec::new() }; MAX_INPUTS + MAX_OUTPUTS]) };
}

impl<'a> LaneCall<'a> {
    /// The parameters of each member.
    #[inline(always)]
    pub(crate) fn params<P: bytemuck::AnyBitPattern>(&self) -> [P; MEMBERS] {
        self.params.map(bytemuck::pod_read_unaligned)
    }

    /// The parameters of a kernel whose members have the same.
    #[inline(always)]
    pub(crate) fn common_params<P: bytemuck::AnyBitPattern>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params[0])
    }

    /// Calls the function for a single member with all numbers of all members: for those that treat every element alike.
    pub(crate) fn elementwise(self, cpu: fn(Call<'_>)) {
        if !self.inputs.iter().all(|input| matches!(input, Values::Own(_) | Values::Shared([]))) {
            return self.one_by_one(cpu);
        }
        let flat = |input: Values<'a>| if let Values::Own(values) = input { values.as_flattened() } else { &[] };
        let Self { params, step, inputs, outputs } = self;
        let [params, ..] = params;
        cpu(Call {
            params,
            step,
            last: step,
            inputs: inputs.map(flat),
            outputs: outputs.map(<[Lanes]>::as_flattened_mut),
        });
    }

    /// Calls the function for one member after the other, on copies.
    pub(crate) fn one_by_one(mut self, cpu: fn(Call<'_>)) {
        let mut copies = MEMBER.take();
        for member in 0..MEMBERS {
            let (ins, outs) = copies.split_at_mut(MAX_INPUTS);
            for (copy, values) in ins.iter_mut().zip(&self.inputs) {
                copy.clear();
                if let Values::Own(values) = values {
                    copy.extend(values.iter().map(|lanes| lanes[member]));
                }
            }
            for (copy, values) in outs.iter_mut().zip(&self.outputs) {
                copy.clear();
                copy.extend(values.iter().map(|lanes| lanes[member]));
            }
            let inputs = std::array::from_fn(|i| match self.inputs[i] {
                Values::Own(_) => &ins[i][..],
                Values::Shared(values) => values,
            });
            let mut outputs: [&mut [f32]; MAX_OUTPUTS] = Default::default();
            outputs.iter_mut().zip(outs.iter_mut()).for_each(|(output, copy)| *output = copy);
            cpu(Call { params: self.params[member], step: self.step, last: self.step, inputs, outputs });
            for (copy, values) in outs.iter().zip(&mut self.outputs) {
                values.iter_mut().zip(copy).for_each(|(lanes, value)| lanes[member] = *value);
            }
        }
        MEMBER.set(copies);
    }
}
