//! Many serial numbers as one, to tell whether two lists have the same.

use std::hash::{DefaultHasher, Hasher};

use crate::pki::certificate_list::{CertificateList, CertificateListError};

/// The serial numbers of revoked certificates, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Revoked {
    pub count: usize,
    sum: u64,
}

impl Revoked {
    pub fn listed(crl: &CertificateList) -> Result<Self, CertificateListError> {
        let mut all = Self::default();
        for serial in crl.serials() {
            all.add(serial?);
        }
        Ok(all)
    }

    pub fn add(&mut self, serial: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(significant(serial));
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum.wrapping_add(other.sum),
        }
    }
}

pub(super) fn significant(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    &octets[zeros..]
}
