//! The records of event files: TensorFlow's messages and their frames.

use std::io::{self, Read};

use prost::Message as _;

/// The messages of `proto/tensorboard.proto`.
#[allow(unreachable_pub, clippy::all)]
pub(super) mod messages {
    include!(concat!(env!("OUT_DIR"), "/tensorboard.rs"));
}

pub(super) use messages::{Event, event::What};
use messages::{PluginData, SessionLog, Summary, SummaryMetadata, Value};

/// The largest record that is read back, in bytes.
const MAX_RECORD: u64 = 1 << 20;

impl Event {
    pub(super) fn first(wall_time: f64) -> Self {
        Self { wall_time, step: 0, what: Some(What::FileVersion("brain.Event:2".to_owned())) }
    }

    /// Starts the run anew: TensorBoard discards what it has read of it.
    pub(super) fn restart(wall_time: f64) -> Self {
        Self { wall_time, step: 0, what: Some(What::SessionLog(SessionLog { status: 1 })) }
    }

    /// A point of a curve, in single precision.
    pub(super) fn scalar(wall_time: f64, tag: &str, step: i64, value: f64) -> Self {
        let simple_value = Some(value as f32);
        let value = Value { tag: tag.to_owned(), simple_value, metadata: None };
        Self { wall_time, step, what: Some(What::Summary(Summary { value: vec![value] })) }
    }

    /// Content for a plugin.
    pub(super) fn plugin(wall_time: f64, tag: &str, plugin: &str, content: Vec<u8>) -> Self {
        let plugin_data = Some(PluginData { plugin_name: plugin.to_owned(), content });
        let metadata = Some(SummaryMetadata { plugin_data });
        let value = Value { tag: tag.to_owned(), simple_value: None, metadata };
        Self { wall_time, step: 0, what: Some(What::Summary(Summary { value: vec![value] })) }
    }

    /// Appends the event as a TFRecord: length, its checksum, content, its checksum.
    pub(super) fn frame(&self, out: &mut Vec<u8>) {
        let content = self.encode_to_vec();
        let length = (content.len() as u64).to_le_bytes();
        out.extend(length);
        out.extend(masked_checksum(&length).to_le_bytes());
        out.extend(&content);
        out.extend(masked_checksum(&content).to_le_bytes());
    }
}

fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Reads bytes with their checksum behind them; `None` if they are torn or damaged.
fn checked(file: &mut impl Read, length: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(length + 4).read_to_end(&mut bytes)?;
    let checksum = bytes.split_off(bytes.len().min(length as usize));
    Ok((checksum == masked_checksum(&bytes).to_le_bytes()).then_some(bytes))
}

/// Reads a record; returns its length, too. `None` if it is torn, damaged or not one of ours.
pub(super) fn unframe(file: &mut impl Read) -> io::Result<Option<(Event, u64)>> {
    let length =
        checked(file, 8)?.and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?)));
    let Some(length) = length.filter(|length| *length <= MAX_RECORD) else { return Ok(None) };
    let event = checked(file, length)?.and_then(|content| Event::decode(&*content).ok());
    Ok(event.map(|event| (event, 8 + 4 + length + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_tensorflow() {
        // The first record of a file that TensorFlow's writer makes, with its time set to 1.
        let mut bytes = Vec::new();
        Event::first(1.0).frame(&mut bytes);
        assert_eq!(bytes[..12], [24, 0, 0, 0, 0, 0, 0, 0, 163, 127, 75, 34]);
        assert_eq!(bytes[12..21], [9, 0, 0, 0, 0, 0, 0, 240, 63]);
        assert_eq!(bytes[21..36], *b"\x1a\x0dbrain.Event:2");
        let length = bytes.len();
        let unframe = |bytes: &[u8]| unframe(&mut &*bytes).unwrap();
        Event::scalar(2.0, "test/accuracy", 7, 0.5).frame(&mut bytes);
        assert_eq!(unframe(&bytes), Some((Event::first(1.0), length as u64)));
        let second = unframe(&bytes[length..]).unwrap();
        let rest = (bytes.len() - length) as u64;
        assert_eq!(second, (Event::scalar(2.0, "test/accuracy", 7, 0.5), rest));
        // A record that is torn or damaged anywhere is not one.
        (0..length).for_each(|end| assert_eq!(unframe(&bytes[..end]), None, "{end}"));
        for position in 0..length {
            let mut damaged = bytes[..length].to_vec();
            damaged[position] ^= 4;
            assert_eq!(unframe(&damaged), None, "{position}");
        }
    }
}
