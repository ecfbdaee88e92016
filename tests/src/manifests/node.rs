//! Access to values of documents. A missing value is null, an empty text or an empty list; each
//! rule decides whether that is wrong.

use serde_json::Value;

/// The value at a JSON pointer.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The text at a JSON pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or("")
}

/// The items of the list at a JSON pointer.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map_or(&[], Vec::as_slice)
}

/// The texts of the list at a JSON pointer.
pub(super) fn texts<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    list(value, pointer).iter().filter_map(Value::as_str).collect()
}

/// Names and values of the object at a JSON pointer.
pub(super) fn entries<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    at(value, pointer).as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// Returns kind and name of a document, as findings show them.
pub(super) fn place(document: &Value) -> String {
    format!("{} {}", text(document, "/kind"), text(document, "/metadata/name"))
}

/// Whether labels satisfy `matchLabels`. An empty selector matches nothing here.
pub(super) fn matches(labels: &Value, match_labels: &Value) -> bool {
    let wanted = match_labels.as_object();
    wanted.is_some_and(|wanted| {
        !wanted.is_empty() && wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
    })
}
