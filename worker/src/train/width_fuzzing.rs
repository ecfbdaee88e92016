//! Fuzz target: files of numbers of lanes.

use super::{MOST, StoredWidth, decode};

/// Decodes a file. It must be of this shape and model, with a possible number, and survive another
/// writing.
pub(crate) fn lanes(data: &[u8]) {
    let (device_model, shape) = ("m".to_owned(), "s".to_owned());
    let expected = || StoredWidth {
        device_model: device_model.clone(),
        shape: shape.clone(),
        lanes: 0,
        until: None,
    };
    let Some(stored) = decode(data, expected()) else { return };
    assert!((1..=MOST).contains(&stored.lanes), "{stored:?}");
    let rewritten = serde_json::to_vec_pretty(&stored).expect("texts and numbers always serialise");
    assert_eq!(decode(&rewritten, expected()), Some(stored));
}
