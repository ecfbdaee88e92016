//! Quantities of Kubernetes: `500m`, `2`, `12Gi`.

use serde_json::Value;

/// Suffixes, with their factors in thousandths.
const SUFFIXES: [(&str, u128); 13] = [
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
    ("", 1000),
];

/// Reads a quantity in thousandths. Returns `None` if it is invalid or finer than that.
pub(super) fn thousandths(quantity: &Value) -> Option<u128> {
    let text = match quantity {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (_, scale) = SUFFIXES.iter().find(|(name, _)| *name == suffix)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = u32::try_from(part.len()).ok().filter(|digits| *digits <= 9)?;
    let value: u128 = format!("{whole}{part}").parse().ok()?;
    let product = value.checked_mul(*scale)?;
    (product % 10_u128.pow(digits) == 0).then(|| product / 10_u128.pow(digits))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::thousandths;

    #[test]
    fn quantities_are_as_kubernetes_reads_them() {
        for (quantity, expected) in [
            (json!("500m"), Some(500)),
            (json!("2"), Some(2000)),
            (json!(2), Some(2000)),
            (json!("0.5"), Some(500)),
            (json!("1.5Gi"), Some(1500 << 30)),
            (json!("2G"), Some(2_000_000_000_000)),
            (json!("2GB"), None),
            (json!("2 Gi"), None),
            (json!("-1"), None),
            (json!(""), None),
            (json!("1.2.3"), None),
            (json!(true), None),
        ] {
            assert_eq!(thousandths(&quantity), expected, "{quantity}");
        }
    }
}
