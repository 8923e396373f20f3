//! Serial numbers of certificates and CRLs.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::hex;

/// What can be wrong with a serial number.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SerialError {
    /// Not hexadecimal digits.
    #[error("{0:?} is not a serial number in hexadecimal digits")]
    NotHex(String),
    /// Zero, or 2^159 and more.
    #[error("the serial number {0} is not between 1 and 2^159 - 1")]
    OutOfRange(String),
}

/// A positive serial number of at most 20 octets (RFC 5280 section 4.1.2.2), 1 to 2^159 - 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SerialNumber(Vec<u8>);

impl SerialNumber {
    /// The number that these big-endian octets make.
    ///
    /// # Errors
    /// When it is zero, or more than 2^159 - 1.
    pub fn from_be_bytes(octets: &[u8]) -> Result<Self, SerialError> {
        let start = octets.iter().position(|octet| *octet != 0);
        let significant = start.map_or(&[][..], |at| &octets[at..]);
        let fits = match significant.len() {
            0 => false,
            20 => significant[0] < 0x80,
            length => length < 20,
        };
        fits.then(|| Self(significant.to_vec()))
            .ok_or_else(|| SerialError::OutOfRange(hex::upper(octets)))
    }

    /// The number that a certificate has, even one that RFC 5280 forbids: CAs made by OpenSSL
    /// before 0.9.8 have the number zero.
    #[must_use]
    pub fn from_certificate(octets: &[u8]) -> Self {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        Self(octets[zeros..].to_vec())
    }

    /// The number that hexadecimal digits make, in a register or the name of a file: any that a
    /// certificate may have. `None` where they are none.
    #[must_use]
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        let octets = hex::octets(str::from_utf8(digits).ok()?)?;
        Some(Self::from_certificate(&octets))
    }

    /// Whether RFC 5280 permits it: not zero, and of 20 octets at most.
    #[must_use]
    pub fn is_permitted(&self) -> bool {
        Self::from_be_bytes(&self.0).is_ok()
    }

    /// The octets, big-endian, without leading zeros.
    #[must_use]
    pub fn as_be_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number after this one.
    ///
    /// # Errors
    /// When this is 2^159 - 1.
    pub fn next(&self) -> Result<Self, SerialError> {
        self.plus(&Self(vec![1]))
    }

    /// The sum of two numbers.
    ///
    /// # Errors
    /// When it is more than 2^159 - 1.
    pub fn plus(&self, other: &Self) -> Result<Self, SerialError> {
        let mut octets = [0; 21];
        let mut carry = 0;
        for (place, octet) in octets.iter_mut().rev().enumerate() {
            let digit = |number: &Self| number.0.iter().rev().nth(place).map_or(0, |d| (*d).into());
            let sum: u16 = digit(self) + digit(other) + carry;
            *octet = sum.to_be_bytes()[1];
            carry = sum >> 8;
        }
        Self::from_be_bytes(&octets)
    }
}

impl PartialOrd for SerialNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SerialNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let lengths = self.0.len().cmp(&other.0.len());
        lengths.then_with(|| self.0.cmp(&other.0))
    }
}

/// Upper-case hexadecimal of even length, as OpenSSL writes it in `serial` and index.txt.
impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("00"),
            octets => f.write_str(&hex::upper(octets)),
        }
    }
}

impl FromStr for SerialNumber {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let octets = hex::octets(text).ok_or_else(|| SerialError::NotHex(text.into()))?;
        Self::from_be_bytes(&octets)
    }
}

impl Serialize for SerialNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_carries_into_a_new_octet() {
        let serial: SerialNumber = "FF".parse().unwrap();
        assert_eq!(serial.next().unwrap().to_string(), "0100");
        assert!(serial < serial.next().unwrap());
    }

    #[test]
    fn sums_carry_through_all_octets() {
        let sum = |one: &str, other: &str| {
            let (one, other): (SerialNumber, SerialNumber) =
                (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one.plus(&other), other.plus(&one));
            one.plus(&other).map(|sum| sum.to_string())
        };
        assert_eq!(sum("FFFFFF", "FF").unwrap(), "010000FE");
        assert_eq!(sum("0102", "40FFFFFFFFFFFFFF").unwrap(), "4100000000000101");
        let most = format!("7F{}", "FF".repeat(19));
        assert!(sum(&most, &most).is_err());
    }

    #[test]
    fn odd_digits_and_lower_case_are_read_and_written_even() {
        let serial: SerialNumber = "1a2".parse().unwrap();
        assert_eq!(serial.to_string(), "01A2");
    }

    #[test]
    fn a_certificate_may_have_any_number_even_zero() {
        let of = |octets: &[u8]| SerialNumber::from_certificate(octets).to_string();
        assert_eq!(of(&[0]), "00");
        assert_eq!(of(&[0, 0x80]), "80");
        assert_eq!(of(&[0xFF; 25]), "FF".repeat(25));
        let zero = SerialNumber::from_certificate(&[0]);
        assert_eq!(zero.next().unwrap().to_string(), "01");
    }

    #[test]
    fn the_limits_are_one_and_twenty_octets_with_a_clear_top_bit() {
        let most = format!("7F{}", "FF".repeat(19));
        let serial: SerialNumber = most.parse().unwrap();
        assert!(matches!(serial.next(), Err(SerialError::OutOfRange(_))));
        assert!("00".parse::<SerialNumber>().is_err());
        assert!(
            format!("01{}", "00".repeat(20))
                .parse::<SerialNumber>()
                .is_err()
        );
        assert!("".parse::<SerialNumber>().is_err());
        assert!("-1".parse::<SerialNumber>().is_err());
        assert!("é1".parse::<SerialNumber>().is_err());
    }
}
