//! How a device is opened.

#[cfg(feature = "gpu")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "gpu")]
use crate::device::Runner;
#[cfg(feature = "gpu")]
use crate::device::gpu::{self, Gpu};
use crate::device::{Device, DeviceInfo, names};
use crate::error::{Error, ErrorKind, Result};

/// Options for opening a device; [`Device::named`] uses the defaults.
///
/// ```
/// use std::time::Duration;
///
/// use wgrad::DeviceOptions;
///
/// let device = DeviceOptions::new("cpu").checked_shaders(true).timeout(Duration::from_secs(10)).open()?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    name: String,
    /// The variable that the name comes from.
    variable: Option<&'static str>,
    pub(crate) checked_shaders: bool,
    pub(crate) default_limits: bool,
    pub(crate) timeout: Duration,
}

/// Long enough for the slowest submit on a busy software driver.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The variable that names the device of [`Device::auto`].
const VARIABLE: &str = "WGRAD_DEVICE";

impl DeviceOptions {
    /// Options for the device of this name: the words of [`Device::named`].
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { name, variable: None, checked_shaders: false, default_limits: false, timeout: TIMEOUT }
    }

    /// Options for the device that the environment's `WGRAD_DEVICE` names, else for the best: see [`Device::auto`].
    pub fn auto() -> Self {
        match std::env::var(VARIABLE) {
            Ok(name) => Self { variable: Some(VARIABLE), ..Self::new(name) },
            Err(_) => Self::new("auto"),
        }
    }

    /// Keep bounds checks and loop bounds in wgrad's own kernels (off: shapes are checked before a dispatch, and the
    /// checks cost up to half the speed). For tests, and for drivers that are in doubt.
    pub fn checked_shaders(mut self, checked: bool) -> Self {
        self.checked_shaders = checked;
        self
    }

    /// Use no more than WebGPU's default limits (128 MiB a matrix), as a browser would.
    pub fn default_limits(mut self, only: bool) -> Self {
        self.default_limits = only;
        self
    }

    /// How long a GPU may take to respond (300 s by default) before it counts as hung: that
    /// call and all later ones then fail with [`ErrorKind::DeviceLost`]. A submit takes a fraction of a second by estimate,
    /// on a busy software driver many times that. Browsers watch their GPUs themselves, and a driver that does the work
    /// while it is handed over (llvmpipe) can't be left.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Opens the device.
    ///
    /// # Errors
    /// See [`Device::named`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(&self) -> Result<Device> {
        pollster::block_on(self.open_async())
    }

    /// Opens the device without blocking, as a page in a browser has to.
    ///
    /// # Errors
    /// See [`Device::named`].
    pub async fn open_async(&self) -> Result<Device> {
        match names::normal(&self.name).as_str() {
            "auto" | "" => self.open_best().await,
            "cpu" => Ok(Device::cpu()),
            wanted => self.open_named(wanted).await,
        }
    }

    #[cfg(feature = "gpu")]
    async fn open_named(&self, wanted: &str) -> Result<Device> {
        match gpu::find(wanted).await {
            Ok(Some(found)) => self.open_gpu(found).await,
            Ok(None) => Ok(Device::cpu()),
            Err(present) => Err(self.no_device(&present)),
        }
    }

    #[cfg(feature = "gpu")]
    async fn open_gpu(&self, found: gpu::Found) -> Result<Device> {
        Ok(Device(Arc::new(Runner::Gpu(Box::new(Gpu::open(found, self).await?)))))
    }

    #[cfg(not(feature = "gpu"))]
    async fn open_named(&self, wanted: &str) -> Result<Device> {
        let present = Device::list_async().await;
        names::find(wanted, &present).map(|_| Device::cpu()).ok_or_else(|| self.no_device(&present))
    }

    async fn open_best(&self) -> Result<Device> {
        #[cfg(feature = "gpu")]
        if let Some(found) = gpu::best().await {
            return self.open_gpu(found).await;
        }
        log::warn!(
            "no hardware GPU found, so this runs on the CPU (a software GPU can be named: {}, or its name)",
            names::WORDS
        );
        Ok(Device::cpu())
    }

    fn no_device(&self, present: &[DeviceInfo]) -> Error {
        let name = &self.name;
        let source = self.variable.map(|variable| format!(", which {variable} asks for")).unwrap_or_default();
        let hint = if !cfg!(feature = "gpu") {
            "; wgrad was built without its feature 'gpu'"
        } else if cfg!(target_arch = "wasm32") {
            "; this browser offers WebGPU only as listed"
        } else if present.len() > 1 {
            ""
        } else {
            "; a software GPU driver is one package away (Debian: apt-get install mesa-vulkan-drivers)"
        };
        let (list, words) = (names::list(present), names::WORDS);
        let detail = format!("no device is called '{name}'{source}; present: {list}; other names are {words}{hint}");
        Error::new(ErrorKind::NoDevice, "device", detail)
    }
}
