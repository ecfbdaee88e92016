//! The few of TensorFlow's messages that event files of scalars are made of (tensorflow/core/util/event.proto and
//! tensorflow/core/framework/summary.proto), and their frames.

use prost::{Message, Oneof};

/// One record of an event file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub(super) what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<SummaryMetadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    pub(super) plugin_data: Option<PluginData>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PluginData {
    #[prost(string, tag = "1")]
    pub(super) plugin_name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    /// 1: whatever was read of this run up to now does not count.
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

/// What a file begins with.
const FILE_VERSION: &str = "brain.Event:2";

/// The largest record that is read back.
const MAX_RECORD: usize = 1 << 20;

impl Event {
    pub(super) fn first(wall_time: f64) -> Self {
        Self { wall_time, step: 0, what: Some(What::FileVersion(FILE_VERSION.to_owned())) }
    }

    /// The run begins, or begins anew.
    pub(super) fn anew(wall_time: f64) -> Self {
        Self { wall_time, step: 0, what: Some(What::SessionLog(SessionLog { status: 1 })) }
    }

    /// A point. Files have single precision.
    pub(super) fn scalar(wall_time: f64, tag: &str, step: i64, value: f64) -> Self {
        let value = Value { tag: tag.to_owned(), simple_value: Some(value as f32), metadata: None };
        Self { wall_time, step, what: Some(What::Summary(Summary { value: vec![value] })) }
    }

    /// Something for a plugin.
    pub(super) fn plugin(wall_time: f64, tag: &str, plugin: &str, content: Vec<u8>) -> Self {
        let plugin_data = Some(PluginData { plugin_name: plugin.to_owned(), content });
        let value = Value {
            tag: tag.to_owned(),
            simple_value: None,
            metadata: Some(SummaryMetadata { plugin_data }),
        };
        Self { wall_time, step: 0, what: Some(What::Summary(Summary { value: vec![value] })) }
    }

    /// As a record of the file, framed as TFRecord: length, its checksum, content, its checksum.
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

/// The record that a text of bytes begins with and how many bytes it takes; `None` if it is not whole, or is none of ours.
pub(super) fn unframe(bytes: &[u8]) -> Option<(Event, usize)> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*checksum) != masked_checksum(length) {
        return None;
    }
    let length =
        usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= MAX_RECORD)?;
    let (content, rest) = rest.split_at_checked(length)?;
    let (checksum, _) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*checksum) != masked_checksum(content) {
        return None;
    }
    Some((Event::decode(content).ok()?, 8 + 4 + length + 4))
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
        Event::scalar(2.0, "test/accuracy", 7, 0.5).frame(&mut bytes);
        assert_eq!(unframe(&bytes), Some((Event::first(1.0), length)));
        let second = unframe(&bytes[length..]).unwrap();
        assert_eq!(second, (Event::scalar(2.0, "test/accuracy", 7, 0.5), bytes.len() - length));
        // Torn, or damaged anywhere: no record.
        (0..length).for_each(|end| assert_eq!(unframe(&bytes[..end]), None, "{end}"));
        for place in 0..length {
            let mut damaged = bytes[..length].to_vec();
            damaged[place] ^= 4;
            assert_eq!(unframe(&damaged), None, "{place}");
        }
    }
}
