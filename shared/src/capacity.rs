//! Room for trials: what a worker asks for, from its trainer to the scheduler.

use swfn_proto::v1;

use crate::ids::{IdError, ShapeId, VaeId};

/// Room for trials.
///
/// A trainer counts lanes beyond the trials that it was given. A worker that asks counts all its lanes, those that hold
/// trials included, so that asks and grants that cross do no harm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capacity {
    /// For how many trials; 0: for none.
    pub lanes: u32,
    /// Of which shape; `None`: of any one shape.
    pub shape: Option<ShapeId>,
    /// The VAEs at hand, the one used last first.
    pub vaes: Vec<VaeId>,
}

impl Capacity {
    /// Whether somebody who was told `self` need not be told `other`: without room, nothing else matters.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self == other || (self.lanes == 0 && other.lanes == 0)
    }

    /// The same room, counted with trials that are held already.
    pub fn with_held(self, trials: usize) -> Self {
        let trials = u32::try_from(trials).unwrap_or(u32::MAX);
        Self { lanes: self.lanes.saturating_add(trials), ..self }
    }
}

impl From<Capacity> for v1::Ask {
    fn from(Capacity { lanes, shape, vaes }: Capacity) -> Self {
        let vaes = vaes.iter().map(ToString::to_string).collect();
        Self { lanes, vaes, shape: shape.map(|shape| shape.to_string()) }
    }
}

impl TryFrom<v1::Ask> for Capacity {
    type Error = IdError;

    fn try_from(v1::Ask { lanes, shape, vaes }: v1::Ask) -> Result<Self, IdError> {
        let shape = shape.map(|shape| shape.parse()).transpose()?;
        Ok(Self {
            lanes,
            shape,
            vaes: vaes.iter().map(|vae| vae.parse()).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_survives_the_wire() {
        let id = "0123456789abcdef0123456789abcdef";
        let capacity =
            Capacity { lanes: 3, shape: id.parse().ok(), vaes: vec![id.parse().unwrap()] };
        assert_eq!(Capacity::try_from(v1::Ask::from(capacity.clone())), Ok(capacity.clone()));
        assert_eq!(v1::Ask::from(Capacity::default()), v1::Ask::default());
        assert!(
            Capacity::try_from(v1::Ask { shape: Some("x".to_owned()), ..v1::Ask::default() })
                .is_err()
        );
        assert_eq!(capacity.clone().with_held(2).lanes, 5);
        let full = Capacity { lanes: 0, ..capacity };
        assert!(
            full.says_the_same(&Capacity::default())
                && !full.says_the_same(&full.clone().with_held(1))
        );
    }
}
