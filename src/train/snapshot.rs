//! Snapshots to roll back to: parameters and optimizer state after an epoch.

use super::state::live;
use crate::device::{Recording, Tensor};
use crate::error::Result;
use crate::nn::Parameters;
use crate::ops::copy::broadcast;
use crate::optim::Optimizer;

/// Copies on the device, one for each epoch that may still turn out to be the last good one.
pub(super) struct Snapshots {
    slots: Vec<Slot>,
}

struct Slot {
    save: Recording,
    restore: Recording,
    epoch: usize,
    steps: u64,
    optimizer_epoch: usize,
}

impl Snapshots {
    /// Room for this many epochs; of the parameters' average, too, if there is one.
    pub(super) async fn new(
        parameters: &Parameters,
        optimizer: &Optimizer,
        average: Option<&Tensor>,
        slots: usize,
    ) -> Result<Self> {
        let device = parameters.device();
        let live = live(parameters, optimizer, average)?;
        let slot = |_| -> Result<Slot> {
            let [mut save, mut restore] = [(); 2].map(|()| Recording::new(device));
            for tensor in &live {
                let copy = Tensor::zeros(device, 1, tensor.len())?;
                broadcast(&mut save, tensor, 1.0, &copy, false)?;
                broadcast(&mut restore, &copy, 1.0, tensor, false)?;
            }
            Ok(Slot { save, restore, epoch: usize::MAX, steps: 0, optimizer_epoch: 0 })
        };
        let slots = (0..slots).map(slot).collect::<Result<Vec<_>>>()?;
        for slot in &slots {
            // Going back must not have to wait for anything.
            slot.restore.prepare().await?;
        }
        Ok(Self { slots })
    }

    fn slot(&mut self, epoch: usize) -> &mut Slot {
        let at = epoch % self.slots.len();
        &mut self.slots[at]
    }

    /// Saves the state after this epoch.
    pub(super) async fn save(&mut self, optimizer: &Optimizer, epoch: usize) -> Result<()> {
        let (steps, optimizer_epoch) = (optimizer.steps(), optimizer.epoch());
        let slot = self.slot(epoch);
        slot.save.run_steps_async(0..1).await?;
        (slot.epoch, slot.steps, slot.optimizer_epoch) = (epoch, steps, optimizer_epoch);
        Ok(())
    }

    /// Goes back to the state after this epoch, if it is there.
    pub(super) fn restore(&mut self, optimizer: &mut Optimizer, epoch: usize) -> Result<()> {
        let slot = self.slot(epoch);
        if slot.epoch == epoch {
            optimizer.go_to(slot.steps, slot.optimizer_epoch);
            slot.restore.run()?;
        }
        Ok(())
    }
}
