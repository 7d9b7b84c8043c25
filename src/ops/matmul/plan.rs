//! Which kernel multiplies matrices of which shape, on an adapter of which capabilities. Nothing is timed: the same
//! product uses the same kernel in every run.

use super::{DIRECT, DIRECT4, Factor, SMALL, TILED, WIDE};
use crate::device::{CHUNK_ROWS, Capabilities, Kernel};
use crate::error::{Error, Result};
use crate::ops::{LOAD, longest_loop};

/// Parts of k start at multiples of it: the tiles' stretch of k.
pub(super) const TILE_K: usize = 16;
/// The longest sum of one invocation.
const MAX_PART_K: usize = longest_loop(2) / TILE_K * TILE_K;

/// Rows of a product that is planned for any number of them.
const MANY_ROWS: usize = 4096;

/// The most outputs of a product over many rows that is summed chunk by chunk on the CPU path: parts of it must be stored.
const MAX_CHUNK_OUTPUTS: usize = 1 << 14;

/// A kernel of `shaders/matmul.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Variant {
    /// One output per invocation: small and narrow matrices.
    Small,
    /// Many outputs per invocation, without workgroup memory: drivers that run on the CPU.
    Direct,
    /// The same four numbers at a time: matrices whose rows, as they lie in memory, are multiples of four long, and k
    /// too.
    Direct4,
    /// Blocks of 64 x 64 through workgroup memory.
    Tiled,
    /// Blocks of 128 x 128 through workgroup memory, loaded four numbers at a time: large matrices in which rows, as
    /// they lie in memory, are multiples of four long.
    Wide,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Small, Self::Direct, Self::Direct4, Self::Tiled, Self::Wide];

    pub(super) fn kernel(self) -> &'static Kernel {
        match self {
            Self::Small => &SMALL,
            Self::Direct => &DIRECT,
            Self::Direct4 => &DIRECT4,
            Self::Tiled => &TILED,
            Self::Wide => &WIDE,
        }
    }

    /// Rows and columns of the product that a workgroup computes.
    pub(super) const fn block(self) -> [usize; 2] {
        match self {
            Self::Small => [8, 8],
            Self::Direct | Self::Direct4 => [16, 64],
            Self::Tiled => [64, 64],
            Self::Wide => [128, 128],
        }
    }

    /// How many workgroups a product of m x n takes.
    pub(super) fn blocks(self, m: usize, n: usize) -> usize {
        let [rows, cols] = self.block();
        m.div_ceil(rows) * n.div_ceil(cols)
    }

    /// Multiplications and additions of a product over k: a workgroup computes its whole block, also where that reaches
    /// beyond the product. [`Variant::Small`] loads two numbers for each.
    pub(super) fn work(self, m: usize, n: usize, k: usize) -> u64 {
        let [rows, cols] = self.block();
        let each = if self == Self::Small { 2 * LOAD } else { 2 };
        (self.blocks(m, n) * rows * cols) as u64 * (each * k) as u64
    }

    /// How many rows of the first factor a workgroup sums, if the kernel can do so.
    pub(super) fn row_sums(self) -> Option<usize> {
        let invocations = self.kernel().workgroup_size.iter().product::<u32>() as usize;
        match self {
            Self::Small | Self::Direct | Self::Tiled => Some(invocations),
            Self::Direct4 => Some(4 * invocations),
            Self::Wide => None,
        }
    }

    /// Whether the kernel takes these factors.
    pub fn takes<'a>(self, a: impl Into<Factor<'a>>, b: impl Into<Factor<'a>>) -> bool {
        let (a, b) = (a.into(), b.into());
        let fours = [a, b].iter().all(|factor| factor.tensor.cols().is_multiple_of(4));
        match self {
            Self::Small | Self::Direct | Self::Tiled => true,
            Self::Direct4 => fours && a.shape()[1].is_multiple_of(4),
            Self::Wide => fours,
        }
    }
}

/// The kernel for a product, and how many parts the sum over k is cut into. Parts are added up in a second dispatch, in
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kernel.
    pub variant: Variant,
    /// At least 1.
    pub parts: usize,
}

/// A stretch of k in parts.
pub(super) struct Cut {
    pub(super) parts: usize,
    pub(super) part_k: usize,
}

impl Plan {
    /// The plan for a product on a device of these [`Capabilities`], by the shapes alone.
    ///
    /// A sum is cut into parts where the outputs keep too few workgroups busy: a weight gradient's, which is as long as
    /// the batch.
    pub fn new<'a>(capabilities: &Capabilities, a: impl Into<Factor<'a>>, b: impl Into<Factor<'a>>) -> Self {
        let (a, b) = (a.into(), b.into());
        Self::of(capabilities, [a, b], a.shape()[0])
    }

    /// The plan for a product whose rows have the same bits however many there are: that of many, in one part.
    pub(crate) fn for_any_rows(capabilities: &Capabilities, a: Factor<'_>, b: Factor<'_>) -> Self {
        Self { parts: 1, ..Self::of(capabilities, [a, b], MANY_ROWS) }
    }

    /// As if the product had m rows.
    fn of(capabilities: &Capabilities, [a, b]: [Factor<'_>; 2], m: usize) -> Self {
        let (k, [_, n]) = (a.shape()[1], b.shape());
        let workgroups = capabilities.busy_workgroups;
        if !capabilities.fast_workgroup_memory {
            let variant = if Variant::Direct4.takes(a, b) { Variant::Direct4 } else { Variant::Direct };
            return Self::busy(variant, workgroups, 1024, [m, n, k]);
        }
        let variant = if Variant::Wide.takes(a, b) && Variant::Wide.blocks(m, n) >= 128 {
            Variant::Wide
        } else if m >= 64 && n >= 64 && k >= 16 {
            Variant::Tiled
        } else {
            Variant::Small
        };
        if a.transposed && m * n <= MAX_CHUNK_OUTPUTS && capabilities.takes_chunks_of(k) {
            return Self { variant, parts: k.div_ceil(CHUNK_ROWS) };
        }
        Self::busy(variant, workgroups, 64, [m, n, k])
    }

    /// Enough parts for this many workgroups, none shorter than `shortest`.
    fn busy(variant: Variant, workgroups: usize, shortest: usize, [m, n, k]: [usize; 3]) -> Self {
        // A second dispatch costs more than parts save on a short sum.
        let most = if k < 4 * shortest { 1 } else { k / shortest };
        Self { variant, parts: (workgroups / variant.blocks(m, n)).clamp(1, most) }
    }

    /// How much of k one dispatch sums.
    pub(super) fn longest(self) -> usize {
        self.parts.saturating_mul(MAX_PART_K)
    }

    pub(super) fn cut(self, k: usize) -> Cut {
        // Chunks of rows where these are as many: others then come in the same pieces.
        let part_k = if self.parts > 1 && k.div_ceil(CHUNK_ROWS) == self.parts {
            CHUNK_ROWS
        } else {
            k.div_ceil(self.parts).next_multiple_of(TILE_K)
        };
        Cut { parts: k.div_ceil(part_k), part_k }
    }

    pub(super) fn check(self, a: Factor<'_>, b: Factor<'_>) -> Result<()> {
        if self.parts == 0 {
            return Err(Error::input("matmul", "a plan of 0 parts; give at least 1"));
        }
        if !self.variant.takes(a, b) {
            return Err(Error::shape(
                "matmul",
                format!(
                    "{:?} takes factors whose rows in memory are multiples of 4 long, and Direct4 such a k; {a:?} {b:?}",
                    self.variant
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, Variant};
    use crate::DeviceKind::{Cpu, Discrete, Integrated, Other, Software, Virtual};
    use crate::{Backend, Capabilities, Device, DeviceKind, Tensor};

    fn plan(kind: DeviceKind, [m, n, k]: [usize; 3]) -> Plan {
        let device = Device::cpu();
        let (a, b) = (Tensor::zeros(&device, m, k).unwrap(), Tensor::zeros(&device, k, n).unwrap());
        let backend = if kind == Cpu { Backend::Cpu } else { Backend::Vulkan };
        Plan::new(&Capabilities::of(kind, backend), &a, &b)
    }

    #[test]
    fn every_hardware_adapter_has_the_same_plans() {
        for shape in [[32, 25, 25], [64, 64, 16], [128, 512, 784], [25, 25, 65_536], [2048, 2048, 64]] {
            for kind in [Integrated, Virtual, Other] {
                assert_eq!(plan(kind, shape), plan(Discrete, shape), "{kind}, {shape:?}");
            }
        }
    }

    #[test]
    fn plans_follow_from_shape_and_kind() {
        let hardware = |shape| plan(Discrete, shape);
        assert_eq!(hardware([32, 25, 25]), Plan { variant: Variant::Small, parts: 1 });
        assert_eq!(hardware([64, 64, 16]), Plan { variant: Variant::Tiled, parts: 1 });
        assert_eq!(hardware([128, 512, 784]), Plan { variant: Variant::Tiled, parts: 12 });
        assert_eq!(hardware([25, 25, 65_536]), Plan { variant: Variant::Small, parts: 16 });
        assert_eq!(hardware([2048, 2048, 64]), Plan { variant: Variant::Wide, parts: 1 });
        assert_eq!(hardware([2046, 2046, 62]), Plan { variant: Variant::Tiled, parts: 1 });
        assert_eq!(plan(Software, [32, 25, 25]), Plan { variant: Variant::Direct, parts: 1 });
        assert_eq!(plan(Software, [128, 512, 784]), Plan { variant: Variant::Direct4, parts: 1 });
        assert_eq!(plan(Software, [128, 512, 786]), Plan { variant: Variant::Direct, parts: 1 });
        assert_eq!(plan(Software, [25, 25, 65_536]), Plan { variant: Variant::Direct, parts: 8 });
        assert_eq!(plan(Cpu, [25, 25, 65_536]), Plan { variant: Variant::Small, parts: 1 });
        let device = Device::cpu();
        let [a, b] = [[10_000, 32], [10_000, 16]].map(|[rows, cols]| Tensor::zeros(&device, rows, cols).unwrap());
        let sums = Plan::new(device.capabilities(), a.t(), &b);
        assert_eq!((sums, sums.cut(10_000).part_k), (Plan { variant: Variant::Small, parts: 40 }, 256));
        assert_eq!(plan(Cpu, [128, 512, 784]), Plan { variant: Variant::Tiled, parts: 1 });
        assert_eq!(plan(Cpu, [2048, 2048, 64]), Plan { variant: Variant::Wide, parts: 1 });
    }

    #[test]
    fn parts_cover_all_of_k() {
        for k in [1, 15, 16, 17, 1000, 32_768, 70_001, 200_000] {
            for parts in [1, 2, 3, 7, 100] {
                let cut = Plan { variant: Variant::Small, parts }.cut(k);
                assert!(cut.parts >= 1 && cut.parts <= parts, "{k} in {parts}");
                assert!((cut.parts - 1) * cut.part_k < k && cut.parts * cut.part_k >= k, "{k} in {parts}");
            }
        }
    }
}
