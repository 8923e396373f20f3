//! What a mail host needs as a tar, for a machine that is reached by a pipe.

use std::path::Path;

use anyhow::Result;
use tar::{Builder, EntryType, Header};
use zeroize::Zeroizing;

use super::owner::Ownership;
use crate::pki::certificate::Certificate;
use crate::pki::key::PrivateKey;
use crate::store::Store;
use crate::store::hosts::KEY;
use crate::store::package::Packaged;
use crate::sys::tree::{Access, What};

/// The tar. Owners stand in it by their names, which the machine there knows; the same files give
/// the same tar.
pub fn tar(
    store: &Store,
    host: &str,
    certificate: &Certificate,
    key: Option<&PrivateKey>,
    ownership: &Ownership,
) -> Result<Zeroizing<Vec<u8>>> {
    let root = |mode| Access {
        user: 0,
        group: 0,
        mode,
    };
    let key = key.map(|key| (key, root(ownership.mode.unwrap_or(0o600))));
    let packaged = Packaged {
        host,
        certificate,
        key,
    };
    let first = |folder: &Path, name: &str, _: &Path| folder.join(format!("{name}0"));
    let items = store.package(&packaged, root(0o644), &first)?;
    let time = u64::try_from(certificate.not_before.unix_timestamp()).unwrap_or_default();
    let mut builder = Builder::new(Vec::new());
    for item in items {
        let mut header = Header::new_gnu();
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        match &item.what {
            What::File { bytes, access } => {
                header.set_mode(access.mode);
                header.set_size(bytes.len() as u64);
                if item.path.file_name().is_some_and(|name| name == KEY) {
                    header.set_username(ownership.user.as_deref().unwrap_or("root"))?;
                    header.set_groupname(ownership.group.as_deref().unwrap_or("root"))?;
                }
                builder.append_data(&mut header, &item.path, &***bytes)?;
            }
            What::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                builder.append_link(&mut header, &item.path, target)?;
            }
        }
    }
    Ok(Zeroizing::new(builder.into_inner()?))
}
