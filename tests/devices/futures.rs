use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;

use wgrad::{Call, Device, ErrorKind, Kernel, PendingRead, Recording, Tensor, ops};

use crate::common::{Devices, gpus, on_every_device, signed};

on_every_device!(
    a_read_is_polled_at_most_twice,
    a_hundred_reads_are_awaited_at_once,
    a_finished_read_says_so,
    runs_are_awaited,
    futures_go_from_thread_to_thread,
);

struct Counting {
    wakes: AtomicUsize,
    thread: Thread,
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// The simplest executor: polls once, and again whenever it is woken. The number of polls comes along.
fn block_on<T>(future: impl Future<Output = T>) -> (T, usize) {
    let counting = Arc::new(Counting { wakes: AtomicUsize::new(0), thread: std::thread::current() });
    let waker = counting.clone().into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut polls = 0;
    loop {
        polls += 1;
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return (value, polls);
        }
        while counting.wakes.swap(0, Ordering::Relaxed) == 0 {
            std::thread::park();
        }
    }
}

/// A recording that takes a while: x = 2 x - x of many elements, many times.
fn long(device: &Device) -> (Recording, Tensor) {
    let x = Tensor::new(device, 100, 1000, &signed(1, 100_000)).unwrap();
    let y = Tensor::zeros(device, 100, 1000).unwrap();
    let mut recording = Recording::new(device);
    for (from, to) in [(&x, &y), (&y, &x)] {
        ops::activation::forward(&mut recording, ops::Activation::Identity, from, to).unwrap();
    }
    (recording, x)
}

fn a_read_is_polled_at_most_twice(devices: &Devices) {
    for (name, device) in devices {
        let (recording, x) = long(device);
        recording.run_steps(0..50).unwrap();
        let (values, polls) = block_on(x.read_async().unwrap());
        assert_eq!(values.unwrap(), signed(1, 100_000), "{name}");
        assert!(polls <= 2, "{name}: {polls} polls");
        let (waited, polls) = block_on(device.wait_async());
        waited.unwrap();
        assert!(polls <= 2, "{name}: {polls} polls");
    }
}

/// All of these futures together.
struct Join(Vec<Option<Pin<Box<PendingRead>>>>, Vec<Vec<f32>>);

impl Future for Join {
    type Output = Vec<Vec<f32>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self(reads, values) = &mut *self;
        for (read, values) in reads.iter_mut().zip(values) {
            if let Some(Poll::Ready(result)) = read.as_mut().map(|read| read.as_mut().poll(context)) {
                *values = result.unwrap();
                *read = None;
            }
        }
        if self.0.iter().all(Option::is_none) { Poll::Ready(std::mem::take(&mut self.1)) } else { Poll::Pending }
    }
}

fn a_hundred_reads_are_awaited_at_once(devices: &Devices) {
    for (name, device) in devices {
        let tensors: Vec<_> = (0..100).map(|i| Tensor::new(device, 1, 100, &[i as f32; 100]).unwrap()).collect();
        let reads = tensors.iter().map(|tensor| Some(Box::pin(tensor.read_async().unwrap()))).collect();
        let (values, polls) = block_on(Join(reads, vec![Vec::new(); 100]));
        for (i, values) in values.iter().enumerate() {
            assert_eq!(*values, [i as f32; 100], "{name}");
        }
        assert!(polls <= 101, "{name}: {polls} polls");
    }
}

fn a_finished_read_says_so(devices: &Devices) {
    for (name, device) in devices {
        let tensor = Tensor::new(device, 1, 3, &[1.0, 2.0, 3.0]).unwrap();
        let mut read = tensor.read_async().unwrap();
        assert_eq!(block_on(&mut read).0.unwrap(), [1.0, 2.0, 3.0], "{name}");
        for result in [block_on(&mut read).0, read.wait()] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
            assert!(error.to_string().contains("given before"), "{name}: {error}");
        }
        // The device is as good as before.
        assert_eq!(tensor.read().unwrap(), [1.0, 2.0, 3.0], "{name}");
    }
}

fn runs_are_awaited(devices: &Devices) {
    for (name, device) in devices {
        let (recording, x) = long(device);
        block_on(recording.prepare()).0.unwrap();
        let before = device.counters();
        block_on(recording.run_steps_async(0..7)).0.unwrap();
        assert_eq!(device.counters().dispatches - before.dispatches, 14, "{name}");
        assert_eq!(block_on(x.read_async().unwrap()).0.unwrap(), signed(1, 100_000), "{name}");
        let error = block_on(recording.run_steps_async(0..(1 << 20) + 1)).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
    }
}

fn futures_go_from_thread_to_thread(devices: &Devices) {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }
    for (_, device) in devices {
        let (recording, x) = long(device);
        let run = assert_send(async move {
            recording.prepare().await?;
            recording.run_steps_async(0..3).await?;
            recording.device().wait_async().await?;
            x.read_async()?.await
        });
        let values = std::thread::scope(|scope| scope.spawn(|| block_on(run).0).join().unwrap());
        assert_eq!(values.unwrap(), signed(1, 100_000));
    }
    drop(assert_send(Device::auto_async()));
    drop(assert_send(Device::named_async("cpu")));
    drop(assert_send(Device::list_async()));
}

#[test]
fn a_device_is_opened_by_a_future() {
    assert_eq!(block_on(Device::named_async("cpu")).0.unwrap().name(), "cpu");
    assert_eq!(block_on(Device::list_async()).0, Device::list());
    let error = block_on(Device::named_async("voodoo2")).0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoDevice);
}

fn nothing(_: Call<'_>) {}

static BROKEN: Kernel = Kernel::new("user.broken", "fn main() { undefined_name(); }", "main", [1, 1, 1], nothing);

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn preparing_gives_the_compilers_message() {
    for gpu in gpus() {
        let out = Tensor::zeros(&gpu.device, 1, 1).unwrap();
        let mut recording = Recording::new(&gpu.device);
        recording.dispatch(&BROKEN, [1, 1], (), &[], &[&out], 1).unwrap();
        for result in [block_on(recording.prepare()).0, recording.run()] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Kernel, "{error}");
            assert!(error.to_string().contains("undefined_name"), "{error}");
            assert!(error.to_string().starts_with("user.broken: "), "{error}");
        }
        assert_eq!(out.read().unwrap(), [0.0], "{}", gpu.label);
    }
}
