//! The room for trials that a worker has, from its trainer to the scheduler.

use swfn_proto::v1;

use crate::ids::{IdError, ShapeId, VaeId};

/// Room for trials.
///
/// A trainer counts its free lanes. A worker counts all its lanes, since a request and a grant may
/// cross on their way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Number of trials that have room.
    pub lanes: u32,
    /// The shape of the trials; `None` for any one shape.
    pub shape: Option<ShapeId>,
    /// The VAEs at hand, the most recently used first.
    pub vaes: Vec<VaeId>,
}

impl Capacity {
    /// Whether both ask for the same trials: without room, nothing else matters.
    pub fn is_equivalent_to(&self, other: &Self) -> bool {
        self == other || (self.lanes == 0 && other.lanes == 0)
    }

    /// The same room, with the lanes of trials that are held already.
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
        let vaes = vaes.iter().map(|vae| vae.parse()).collect::<Result<_, _>>()?;
        Ok(Self { lanes, shape, vaes })
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
            full.is_equivalent_to(&Capacity::default())
                && !full.is_equivalent_to(&full.clone().with_held(1))
        );
    }
}
