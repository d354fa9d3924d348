//! A value of SQLite that belongs to nobody else.

use super::Value;

/// A value of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Scalar {
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Real(number) => Value::Real(*number),
            Self::Text(text) => Value::Text(text),
            Self::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

impl Value<'_> {
    pub fn to_scalar(self) -> Scalar {
        match self {
            Self::Null => Scalar::Null,
            Self::Integer(number) => Scalar::Integer(number),
            Self::Real(number) => Scalar::Real(number),
            Self::Text(text) => Scalar::Text(text.to_vec()),
            Self::Blob(bytes) => Scalar::Blob(bytes.to_vec()),
        }
    }

    /// Tells whether two values are the same by type and bytes: 0.0 is not -0.0, and `1` is not `'1'`.
    pub fn is_same(self, other: Value<'_>) -> bool {
        match (self, other) {
            (Self::Real(one), Value::Real(other)) => one.to_bits() == other.to_bits(),
            (one, other) => one == other,
        }
    }
}
