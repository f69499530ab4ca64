//! Memory for long payloads of classic requests: taken as their bytes come, and bounded for all of them together.
//!
//! Who announces much and sends nothing takes none. When there is no more, one payload at a time goes on without: else all
//! could wait for each other, each with a part. So what there is at most is the room and one payload.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// See the module.
pub(crate) struct Room {
    kib: Arc<Semaphore>,
    without: Arc<Semaphore>,
}

/// What one payload has of it; given back when dropped.
#[derive(Default)]
pub(super) struct Held {
    kib: Option<OwnedSemaphorePermit>,
    without: Option<OwnedSemaphorePermit>,
}

impl Default for Room {
    fn default() -> Self {
        Room { kib: Arc::new(Semaphore::new(limits::CLASSIC_ROOM_KIB)), without: Arc::new(Semaphore::new(1)) }
    }
}

impl Room {
    /// Waits until `held` is enough for so many bytes.
    pub(super) async fn hold(&self, held: &mut Held, bytes: usize) {
        let have = held.kib.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(bytes.div_ceil(1024).saturating_sub(have)).unwrap_or(u32::MAX);
        if more == 0 || held.without.is_some() {
            return;
        }
        tokio::select! {
            biased;
            Ok(kib) = self.kib.clone().acquire_many_owned(more) => match &mut held.kib {
                Some(before) => before.merge(kib),
                none => *none = Some(kib),
            },
            Ok(without) = self.without.clone().acquire_owned() => held.without = Some(without),
            // Nobody closes them.
            else => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn when_all_is_taken_one_goes_on_and_the_next_waits_for_it() {
        let room = Room::default();
        let hold = |held: &mut Held, bytes| room.hold(held, bytes).now_or_never().is_some();
        let each = limits::CLASSIC_MAX_BODY as usize;
        let mut all: Vec<Held> = Vec::new();
        for _ in 0..limits::CLASSIC_ROOM_KIB * 1024 / each {
            let mut held = Held::default();
            // In two steps; what is there already is not taken again.
            assert!(hold(&mut held, each / 2) && hold(&mut held, each) && hold(&mut held, each));
            all.push(held);
        }
        assert_eq!(room.kib.available_permits(), 0);
        let (mut one, mut other) = (Held::default(), Held::default());
        assert!(hold(&mut one, 1) && hold(&mut one, each));
        assert!(!hold(&mut other, 1));
        drop(one);
        assert!(hold(&mut other, 1));
        all.pop();
        assert!(hold(&mut Held::default(), each));
    }
}
