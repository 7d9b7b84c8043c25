//! A matrix of f32 on a device.

use std::fmt;
use std::sync::Arc;

use crate::device::Device;
use crate::device::buffer::Buffer;
use crate::device::read::PendingRead;
use crate::error::{Error, ErrorKind, Result};

/// Elements between the starts of two tensors in one buffer: 256 bytes, the coarsest binding offset of any adapter.
pub(crate) const ALIGNMENT: usize = 64;

/// The most elements of a tensor: kernels count in u32, and round up to whole rows of workgroups.
pub(crate) const MAX_ELEMENTS: usize = 1 << 31;

/// A `rows x cols` matrix of `f32` in a device's memory, row by row.
///
/// A tensor is a handle: clones share the numbers. It does no arithmetic itself; operations of a
/// [`Graph`](crate::Graph) or in [`ops`](crate::ops) do.
///
/// ```
/// use wgrad::{Device, Tensor};
///
/// let x = Tensor::new(&Device::cpu(), 2, 2, &[1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(x.read()?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) offset: usize,
    rows: usize,
    cols: usize,
}

impl Tensor {
    /// A matrix with these values, row by row.
    ///
    /// # Errors
    /// An empty matrix, a number of values other than `rows * cols`, or a matrix that does not fit the device.
    pub fn new(device: &Device, rows: usize, cols: usize, values: &[f32]) -> Result<Self> {
        let tensor = Self::zeros(device, rows, cols)?;
        tensor.write(values)?;
        Ok(tensor)
    }

    /// A matrix of zeros.
    ///
    /// # Errors
    /// An empty matrix, or one that does not fit the device.
    pub fn zeros(device: &Device, rows: usize, cols: usize) -> Result<Self> {
        let len = checked_len(device, rows, cols)?;
        Ok(Self { buffer: device.allocate(len)?, offset: 0, rows, cols })
    }

    /// A matrix of row numbers for [`gather`](crate::ops::gather) (stored as the bits of `u32`).
    pub(crate) fn indices(device: &Device, indices: &[u32]) -> Result<Self> {
        Self::new(device, 1, indices.len(), bytemuck::cast_slice(indices))
    }

    /// A matrix that shares this one's memory from element `start` (row by row), a multiple of 64: the coarsest
    /// binding offset of any adapter is 256 bytes. What is written to one is seen through the other.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    ///
    /// let two = Tensor::zeros(&Device::cpu(), 2, 64)?;
    /// let second_row = two.view(64, 1, 64)?;
    /// second_row.write(&[1.0; 64])?;
    /// assert_eq!(two.read()?[63..65], [0.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// An empty matrix, one that reaches beyond this one's end, or another start.
    pub fn view(&self, start: usize, rows: usize, cols: usize) -> Result<Self> {
        let len = checked_len(self.device(), rows, cols)?;
        let fits = start.checked_add(len).is_some_and(|end| end <= self.len());
        if !start.is_multiple_of(ALIGNMENT) || !fits {
            return Err(Error::shape(
                "tensor view",
                format!(
                    "{rows} x {cols} from element {start} of a {} x {} matrix; start at a multiple of {ALIGNMENT} and \
                     end within its {} elements",
                    self.rows,
                    self.cols,
                    self.len()
                ),
            ));
        }
        Ok(Self { buffer: self.buffer.clone(), offset: self.offset + start, rows, cols })
    }

    /// So many elements from any one on, to be copied: a dispatch may not be able to bind them.
    pub(crate) fn stretch(&self, start: usize, len: usize) -> Self {
        Self { buffer: self.buffer.clone(), offset: self.offset + start, rows: 1, cols: len }
    }

    /// Whether this is the same stretch of memory as another tensor.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.buffer.id() == other.buffer.id() && self.offset == other.offset && self.len() == other.len()
    }

    /// The same stretch of another tensor's memory as this is of `whole`'s; `None` if this does not lie within it.
    pub(crate) fn moved(&self, whole: &Self, other: &Self) -> Option<Self> {
        let start = self.offset.checked_sub(whole.offset)?;
        let within = self.buffer.id() == whole.buffer.id() && start + self.len() <= whole.len();
        within.then(|| Self { buffer: other.buffer.clone(), offset: other.offset + start, ..self.clone() })
    }

    /// Whether this shares memory with another tensor.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.buffer.id() == other.buffer.id()
            && self.offset < other.offset + other.len()
            && other.offset < self.offset + self.len()
    }

    /// The memory from this tensor's start to the end of one behind it in the same buffer, as one row; `None` if it
    /// is not behind it.
    pub(crate) fn through(&self, last: &Self) -> Option<Self> {
        let len = (last.offset + last.len()).checked_sub(self.offset)?;
        let behind = self.buffer.id() == last.buffer.id() && last.offset >= self.offset + self.len();
        behind.then(|| Self { rows: 1, cols: len, ..self.clone() })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// `[rows, cols]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// The number of elements, `rows * cols`.
    #[expect(clippy::len_without_is_empty, reason = "no tensor is empty")]
    pub fn len(&self) -> usize {
        self.rows * self.cols
    }

    /// The device that holds the matrix.
    pub fn device(&self) -> &Device {
        self.buffer.device()
    }

    /// Replaces all values, row by row. On a GPU the new values are there for everything run after this call; they are
    /// copied at once and go to the GPU with what is run next, or after some 16 MiB.
    ///
    /// # Errors
    /// A number of values other than [`Tensor::len`]; a lost device; no memory left to upload from, after which the
    /// first values may be new and the last old.
    pub fn write(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.len() {
            return Err(Error::shape(
                "tensor",
                format!(
                    "{} values for a {} x {} matrix; it takes {}, row by row",
                    values.len(),
                    self.rows,
                    self.cols,
                    self.len()
                ),
            ));
        }
        self.buffer.write(self.offset, values)
    }

    /// Waits for all work run so far and returns the values, row by row.
    ///
    /// # Errors
    /// A lost device; in a browser a GPU, where nothing may block: use [`Tensor::read_async`].
    pub fn read(&self) -> Result<Vec<f32>> {
        self.read_async()?.wait()
    }

    /// Asks for the values as they are after all work run so far, without waiting: `.await` the result, or call
    /// [`PendingRead::wait`] later.
    ///
    /// ```
    /// # use wgrad::{Device, Tensor};
    /// # async fn show(x: &Tensor) -> wgrad::Result<()> {
    /// let values = x.read_async()?.await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// A lost device.
    pub fn read_async(&self) -> Result<PendingRead> {
        self.buffer.read(self.offset, self.len())
    }
}

/// The number of elements, which is one that every kernel can count, on every device.
fn checked_len(device: &Device, rows: usize, cols: usize) -> Result<usize> {
    match rows.checked_mul(cols) {
        Some(0) => Err(Error::shape("tensor", format!("a {rows} x {cols} matrix is empty; give at least 1 x 1"))),
        Some(len) if len <= MAX_ELEMENTS => Ok(len),
        Some(len) => Err(Error::new(
            ErrorKind::OutOfMemory,
            "tensor",
            format!(
                "{rows} x {cols} are {len} elements, more than the {MAX_ELEMENTS} that a matrix may have ({}); use smaller \
                 batches",
                device.name()
            ),
        )),
        None => Err(Error::shape("tensor", format!("a {rows} x {cols} matrix has more elements than can be counted"))),
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} x {} on {})", self.rows, self.cols, self.device().name())
    }
}
