//! From values to bytes.

use crate::engine::Value;

/// Appends a field.
pub fn push_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => {}
        Value::Integer(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        Value::Real(number) => push_real(out, number),
        Value::Text(text) => push_quoted(out, text),
        Value::Blob(bytes) => push_hex(out, bytes),
    }
}

/// Appends the header line. A name is quoted only where it must be, as `COPY` does.
pub fn push_header<'n>(out: &mut Vec<u8>, names: impl Iterator<Item = &'n str>) {
    for (place, name) in names.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let plain = !name.is_empty() && name != "\\." && !name.contains([',', '"', '\n', '\r']);
        if plain {
            out.extend_from_slice(name.as_bytes());
        } else {
            push_quoted(out, name.as_bytes());
        }
    }
    out.push(b'\n');
}

/// The shortest digits that are read back as the same number. They always hold a point, an exponent or a letter, so
/// that 1.0 is never taken for the integer 1.
fn push_real(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else if number.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if number > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text.contains(&b'"') {
        for byte in text {
            if *byte == b'"' {
                out.push(b'"');
            }
            out.push(*byte);
        }
    } else {
        out.extend_from_slice(text);
    }
    out.push(b'"');
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 + 2 * bytes.len());
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}
