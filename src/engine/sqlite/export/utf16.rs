//! Text of databases that store UTF-16, as the UTF-8 of an export.

use super::super::session::Session;
use crate::engine::Error;

/// How a database stores text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    pub(super) fn of(session: &Session) -> Result<Self, Error> {
        Ok(match session.pragma("encoding")?.as_str() {
            "UTF-16le" => Self::Utf16Le,
            "UTF-16be" => Self::Utf16Be,
            _ => Self::Utf8,
        })
    }

    /// Returns SQLite's own name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16le",
            Self::Utf16Be => "UTF-16be",
        }
    }

    pub(super) fn is_wide(self) -> bool {
        self != Self::Utf8
    }

    /// Replaces the content of `out` by the text in UTF-8. Half of a surrogate pair, which is no text, becomes the three
    /// bytes that stand for it by UTF-8's rule, so that it can be told from everything else.
    pub(super) fn to_utf8(self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        out.clear();
        let (units, rest) = text.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Error::Unsupported {
                what: "the export of a text with half a character of UTF-16".to_string(),
                why: "no other encoding has anything for it".to_string(),
            });
        }
        let units = units.iter().map(|pair| match self {
            Self::Utf16Be => u16::from_be_bytes(*pair),
            Self::Utf16Le | Self::Utf8 => u16::from_le_bytes(*pair),
        });
        for decoded in char::decode_utf16(units) {
            match decoded {
                Ok(character) => {
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Err(half) => {
                    let unit = half.unpaired_surrogate();
                    let low = |shift: u32| 0x80 | u8::try_from(unit >> shift & 0x3f).unwrap_or_default();
                    out.extend_from_slice(&[0xed, low(6), low(0)]);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utf8(encoding: Encoding, units: &[u16]) -> Vec<u8> {
        let bytes = units.iter().flat_map(|unit| match encoding {
            Encoding::Utf16Be => unit.to_be_bytes(),
            _ => unit.to_le_bytes(),
        });
        let mut out = Vec::new();
        encoding.to_utf8(&bytes.collect::<Vec<u8>>(), &mut out).expect("whole units");
        out
    }

    proptest! {
        #[test]
        fn text_is_the_same_in_either_order_of_bytes(text in "\\PC{0,9}") {
            let units: Vec<u16> = text.encode_utf16().collect();
            prop_assert_eq!(utf8(Encoding::Utf16Le, &units), text.as_bytes());
            prop_assert_eq!(utf8(Encoding::Utf16Be, &units), text.as_bytes());
        }

        #[test]
        fn two_different_texts_stay_different(one: Vec<u16>, other: Vec<u16>) {
            prop_assume!(one != other);
            prop_assert_ne!(utf8(Encoding::Utf16Le, &one), utf8(Encoding::Utf16Le, &other));
        }
    }

    #[test]
    fn half_a_pair_keeps_its_number() {
        assert_eq!(utf8(Encoding::Utf16Le, &[0xd800]), [0xed, 0xa0, 0x80]);
        assert_eq!(utf8(Encoding::Utf16Le, &[0xdfff]), [0xed, 0xbf, 0xbf]);
    }

    #[test]
    fn an_odd_byte_is_refused() {
        assert!(Encoding::Utf16Le.to_utf8(b"abc", &mut Vec::new()).is_err());
    }
}
