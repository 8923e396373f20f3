//! PEM (RFC 7468) as the other modules use it: text around the blocks is ignored, as OpenSSL does.

use pem::{EncodeConfig, LineEnding, Pem};

/// Every block of a text; `None` where there is no PEM in it at all. A block that cannot be
/// decoded is there with nothing in it, so that it spoils no other.
#[must_use]
pub fn blocks(bytes: &[u8]) -> Option<Vec<Pem>> {
    let mut found = Vec::new();
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    while let Some(line) = lines.next() {
        let Some(label) = label(line, b"-----BEGIN ") else {
            continue;
        };
        let mut block = line.to_vec();
        for line in lines.by_ref() {
            block.extend(line);
            if line.starts_with(b"-----END ") {
                break;
            }
        }
        found.push(pem::parse(block).unwrap_or_else(|_| Pem::new(label, Vec::new())));
    }
    (!found.is_empty()).then_some(found)
}

fn label<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a str> {
    let label = line.trim_ascii_end().strip_prefix(start)?;
    str::from_utf8(label.strip_suffix(b"-----")?).ok()
}

/// Whether nothing but blocks of this label are in a text, or it is empty.
#[must_use]
pub fn holds_only(label: &str, bytes: &[u8]) -> bool {
    bytes.is_empty() || blocks(bytes).is_some_and(|all| all.iter().all(|one| one.tag() == label))
}

/// One block, in lines of 64 characters that end in a line feed.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8]) -> Vec<(String, Vec<u8>)> {
        let blocks = blocks(text).unwrap_or_default();
        blocks
            .iter()
            .map(|block| (block.tag().into(), block.contents().into()))
            .collect()
    }

    #[test]
    fn text_of_any_encoding_around_a_block_is_ignored() {
        let text = b"J\xfcrgen ---\n-----\n-----BEGIN A-----\nAQID\n-----END A-----\n\xff";
        assert_eq!(found(text), [("A".into(), vec![1, 2, 3])]);
        assert_eq!(found(b"J\xfcrgen"), []);
    }

    #[test]
    fn a_damaged_block_does_not_hide_the_others() {
        let text = b"-----BEGIN A-----\n!\n-----END A-----\n-----BEGIN B-----\r\nAQ==  \r\n-----END B-----";
        assert_eq!(found(text), [("A".into(), vec![]), ("B".into(), vec![1])]);
    }

    #[test]
    fn a_block_without_its_end_is_there_but_empty() {
        assert_eq!(found(b"-----BEGIN A-----\nAQID\n"), [("A".into(), vec![])]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let der = [7; 100];
        assert_eq!(
            found(encode("X", &der).as_bytes()),
            [("X".into(), der.to_vec())]
        );
    }
}
