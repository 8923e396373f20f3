//! What a mail host needs of this CA, laid out as the CA directory is, so that its mail server is
//! told the same names.

use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::Store;
use super::hosts::{CERT, CHAIN, KEY};
use super::register::RegisterError;
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::CertificateList;
use crate::pki::key::{KeyError, PrivateKey};
use crate::pki::name::NameError;
use crate::pki::pem_text;
use crate::sys::files::{self, FileError};
use crate::sys::tree::{Access, Item, What};

/// The CA's certificate and the CRL in one file, beside the CRL; only an exported directory has it.
pub const CA_AND_CRL: &str = "ca-crl.pem";

/// Why it cannot be put together.
#[derive(Debug, Error)]
pub enum PackageError {
    /// A file cannot be read.
    #[error("{0}")]
    File(#[from] FileError),
    /// The CRL cannot be read.
    #[error("{0}")]
    Register(#[from] RegisterError),
    /// The CA's name has no hash.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The key cannot be written.
    #[error("{0}")]
    Key(#[from] KeyError),
}

/// A host's certificate, and its key where that is here.
pub struct Packaged<'a> {
    /// the host's file name
    pub host: &'a str,
    /// its certificate
    pub certificate: &'a Certificate,
    /// its private key, and who may read it
    pub key: Option<(&'a PrivateKey, Access)>,
}

impl Packaged<'_> {
    /// The name of the folder in hosts/ with its files.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}.{}", self.host, self.certificate.serial)
    }
}

impl Store {
    /// The file whose certificates a mail server shall trust, as far as there is one.
    ///
    /// # Errors
    /// When `certs` cannot be read.
    pub fn trusted_path(&self) -> Result<PathBuf, FileError> {
        let whole = self.trust_file()?;
        Ok(whole.unwrap_or_else(|| self.settings.certificate.clone()))
    }

    /// The files of a host, the link that makes them its current ones last. All but the key are
    /// `open` to be read. `link_of` names the link by which a certificate or CRL is found, from its
    /// folder, its name's hash with what follows it, and what it leads to.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn package(
        &self,
        packaged: &Packaged<'_>,
        open: Access,
        link_of: &dyn Fn(&Path, &str, &Path) -> PathBuf,
    ) -> Result<Vec<Item>, PackageError> {
        let trusted = self.trusted()?;
        let file = |path: PathBuf, text: &str| Item {
            path,
            what: What::File {
                bytes: Zeroizing::new(text.as_bytes().to_vec()),
                access: open,
            },
        };
        let link = |path: PathBuf, target: PathBuf| Item {
            path,
            what: What::Link(target),
        };
        let pem: String = trusted.iter().map(Certificate::to_pem).collect();
        let ca = self.settings.elsewhere(&self.trusted_path()?);
        let mut items = vec![file(ca.clone(), &pem)];
        let mut hashes: Vec<String> = Vec::new();
        for certificate in &trusted {
            let hash = certificate.subject.hash()?;
            if !hashes.contains(&hash) {
                let path = link_of(Path::new(""), &format!("{hash}."), &ca);
                items.push(link(path, ca.clone()));
                hashes.push(hash);
            }
        }
        items.extend(self.crl_items(&pem, &file, &link, link_of)?);
        let folder = Path::new("hosts").join(packaged.folder());
        let own = packaged.certificate.to_pem();
        let issuer = self.issuer_of(packaged.certificate).to_pem();
        items.push(file(folder.join(CERT), &own));
        items.push(file(folder.join(CHAIN), &(own + &issuer)));
        if let Some((key, access)) = packaged.key {
            items.push(Item {
                path: folder.join(KEY),
                what: What::File {
                    bytes: Zeroizing::new(key.to_pem()?.as_bytes().to_vec()),
                    access,
                },
            });
        }
        let current = Path::new("hosts").join(packaged.host);
        items.push(link(current, packaged.folder().into()));
        Ok(items)
    }

    // The CRL where there is one, under its own name, its hash, and with the CA in one file.
    fn crl_items(
        &self,
        trusted: &str,
        file: &dyn Fn(PathBuf, &str) -> Item,
        link: &dyn Fn(PathBuf, PathBuf) -> Item,
        link_of: &dyn Fn(&Path, &str, &Path) -> PathBuf,
    ) -> Result<Vec<Item>, PackageError> {
        let settings = &self.settings;
        let folder = settings.elsewhere(&settings.crl_dir);
        let crl = settings.elsewhere(&settings.crl);
        let published = self.crl()?;
        let pem = |it: &CertificateList| pem_text::encode("X509 CRL", it.as_der());
        let mut text = published.as_ref().map(pem).unwrap_or_default();
        // What servers that want a CRL of every CA need for those by the former keys.
        for (_, former) in self.trusted_former()? {
            if let Ok(bytes) = files::read_large(&self.kept_crl_path(&former.serial))
                && let Ok(kept) = CertificateList::from_pem_or_der(&bytes)
            {
                text += &pem(&kept);
            }
        }
        let mut items = Vec::new();
        if published.is_some() {
            items.push(file(crl.clone(), &text));
            let hash = self.certificate.subject.hash()?;
            let target = pathdiff::diff_paths(&crl, &folder).unwrap_or(crl);
            let path = link_of(&folder, &format!("{hash}.r"), &target);
            items.push(link(path, target));
        }
        items.push(file(folder.join(CA_AND_CRL), &format!("{trusted}{text}")));
        Ok(items)
    }

    // What a server trusts that looks in the CA directory: the CA and those above it, and of its
    // former keys those that still have a link there.
    fn trusted(&self) -> Result<Vec<Certificate>, PackageError> {
        let bytes = files::read(&self.trusted_path()?)?;
        let mut all = vec![self.certificate.clone()];
        let others = Certificate::all_from_pem_or_der(&bytes).unwrap_or_default();
        // Of the CA's own, the file may have the one before what is committed.
        all.extend(
            others
                .into_iter()
                .filter(|it| it.subject != self.certificate.subject),
        );
        all.extend(self.trusted_former()?.into_iter().map(|(_, former)| former));
        Ok(all)
    }

    fn trusted_former(&self) -> Result<Vec<(PathBuf, Certificate)>, PackageError> {
        let hash = self.certificate.subject.hash()?;
        let links = (0..).map(|number| self.settings.root.join(format!("{hash}.{number}")));
        let linked: Vec<_> = links
            .take_while(|link| files::exists(link))
            .filter_map(|link| link.canonicalize().ok())
            .collect();
        let mut former = self.former();
        former.retain(|(path, _)| path.canonicalize().is_ok_and(|path| linked.contains(&path)));
        Ok(former)
    }

    /// The certificate of the CA that issued another one: the present one, or that of a former key.
    #[must_use]
    pub fn issuer_of(&self, certificate: &Certificate) -> Certificate {
        let former = self.former();
        let by_former = self.issuer_among(&former, certificate);
        by_former.map_or_else(|| self.certificate.clone(), |(_, issuer)| issuer.clone())
    }
}
