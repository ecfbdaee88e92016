//! What the trainer wants, and whether the coordinator knows. Pure: no clock, no socket.

use swfn_shared::{capacity::Capacity, ids::ShapeId};

/// The latest wish, as far as it is not fulfilled.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    wish: Option<Capacity>,
    /// The coordinator thinks otherwise.
    unsaid: bool,
    /// The coordinator may have dropped what it was asked: the next wish is said in any case.
    doubted: bool,
}

impl Wishes {
    /// The trainer's newest wish takes the place of what was left of the one before.
    pub(crate) fn say(&mut self, wish: Capacity) {
        let wish = Some(wish).filter(|wish| wish.lanes > 0);
        self.unsaid |= wish != self.wish || std::mem::take(&mut self.doubted);
        self.wish = wish;
    }

    /// A trial of that shape was granted; what is left of the wish is for its like. The coordinator knows.
    pub(crate) fn granted(&mut self, shape: ShapeId) {
        if let Some(wish) = &mut self.wish {
            wish.lanes -= 1;
            wish.shape = Some(shape);
        }
        self.wish.take_if(|wish| wish.lanes == 0);
    }

    /// A lease was revoked. If that was because its trial stood still, what was asked before is dropped with it: whoever
    /// stands still would lose the next one as well. A trainer that says something after that does not stand still.
    pub(crate) fn doubt(&mut self) {
        self.doubted = true;
    }

    /// A lease was revoked whose trial has ended here: the trainer does not stand still, so its wish is said once more.
    pub(crate) fn repeat(&mut self) {
        self.unsaid |= self.wish.is_some();
    }

    /// Nothing is wanted any more. That is said in any case: what seems fulfilled here may stand there, when leases that were counted with
    /// it had ended, and what is given back would come again for ever.
    pub(crate) fn withdraw(&mut self) {
        (self.wish, self.unsaid) = (None, true);
    }

    /// Whether the trainer has room for a trial that it was not given.
    pub(crate) fn stand(&self) -> bool {
        self.wish.is_some()
    }

    /// A new stream begins: nothing was asked on it yet.
    pub(crate) fn forgotten(&mut self) {
        self.unsaid = self.wish.is_some();
    }

    /// What the coordinator has to be told now, if anything. `running`: trials that the trainer was given and that have not ended.
    pub(crate) fn ask(&mut self, running: usize) -> Option<Capacity> {
        let wish = || self.wish.clone().map(|wish| wish.with_held(running)).unwrap_or_default();
        std::mem::take(&mut self.unsaid).then(wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";

    fn wish(lanes: u32, shape: Option<&str>) -> Capacity {
        Capacity {
            lanes,
            shape: shape.map(|shape| shape.parse().unwrap()),
            vaes: vec![A.parse().unwrap()],
        }
    }

    fn ask(lanes: u32, shape: Option<&str>) -> Option<Capacity> {
        Some(wish(lanes, shape))
    }

    #[test]
    fn the_coordinator_is_asked_when_the_wish_changes_and_not_when_it_is_granted() {
        let mut wishes = Wishes::default();
        wishes.say(wish(0, None));
        assert_eq!(wishes.ask(0), None, "nothing was wanted before");
        wishes.say(wish(3, None));
        assert_eq!((wishes.ask(0), wishes.ask(0)), (ask(3, None), None));
        wishes.granted(B.parse().unwrap());
        assert_eq!(wishes.ask(1), None);
        wishes.say(wish(2, Some(B)));
        assert_eq!(wishes.ask(1), None, "it is what is left");
        // A trial ended.
        wishes.say(wish(3, Some(B)));
        assert_eq!(wishes.ask(0), ask(3, Some(B)));
        wishes.say(wish(3, None));
        assert_eq!(wishes.ask(0), ask(3, None));
        wishes.say(wish(0, None));
        assert_eq!((wishes.ask(0), wishes.ask(0)), (Some(Capacity::default()), None), "withdrawn");
    }

    #[test]
    fn a_wish_is_said_again_once_after_a_lease_was_revoked() {
        let mut wishes = Wishes::default();
        wishes.say(wish(1, None));
        assert_eq!(wishes.ask(1), ask(2, None));
        wishes.doubt();
        assert_eq!(wishes.ask(0), None, "the trainer may stand still");
        wishes.say(wish(1, None));
        assert_eq!((wishes.ask(0), wishes.ask(0)), (ask(1, None), None));
        wishes.say(wish(1, None));
        assert_eq!(wishes.ask(0), None);
        wishes.repeat();
        assert_eq!((wishes.ask(0), wishes.ask(0)), (ask(1, None), None), "the trial had ended");
    }

    #[test]
    fn what_is_left_of_a_wish_is_asked_for_again_on_the_next_stream() {
        let mut wishes = Wishes::default();
        wishes.say(wish(2, None));
        assert!(wishes.ask(5).is_some());
        wishes.granted(B.parse().unwrap());
        wishes.forgotten();
        assert_eq!(wishes.ask(6), ask(7, Some(B)));
        // One more than was wished for does no harm.
        wishes.granted(B.parse().unwrap());
        wishes.granted(B.parse().unwrap());
        wishes.forgotten();
        assert_eq!(wishes.ask(8), None);
        wishes.withdraw();
        assert_eq!(
            (wishes.ask(8), wishes.ask(8)),
            (Some(Capacity::default()), None),
            "withdrawn, whatever is thought of it"
        );
    }
}
