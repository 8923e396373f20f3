//! PEM (RFC 7468) as the other modules use it: text around the blocks is ignored, as OpenSSL does.

use std::io::{self, Write};
use std::iter;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pem::{EncodeConfig, LineEnding, Pem};

/// Every block of a text; `None` where there is no PEM in it at all. A block that cannot be
/// decoded is there with nothing in it, so that it spoils no other.
#[must_use]
pub fn blocks(bytes: &[u8]) -> Option<Vec<Pem>> {
    let found: Vec<Pem> = texts(bytes)
        .map(|(label, text)| pem::parse(text).unwrap_or_else(|_| Pem::new(label, Vec::new())))
        .collect();
    (!found.is_empty()).then_some(found)
}

/// The label and the text of every block.
pub fn texts(bytes: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut rest = without_mark(bytes);
    iter::from_fn(move || {
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(end_of_line(rest));
            let Some(label) = label(line, b"-----BEGIN ") else {
                rest = behind;
                continue;
            };
            let mut length = line.len();
            while length < rest.len() {
                let line = &rest[length..];
                length += end_of_line(line);
                if line.starts_with(b"-----END ") {
                    break;
                }
            }
            let (text, behind) = rest.split_at(length);
            rest = behind;
            return Some((label, text));
        }
        None
    })
}

fn end_of_line(bytes: &[u8]) -> usize {
    let feed = bytes.iter().position(|byte| *byte == b'\n');
    feed.map_or(bytes.len(), |at| at + 1)
}

/// The content of the first block of this label, which may be large: it is decoded piece by piece
/// and not copied. `None` where there is none, or it cannot be decoded.
#[must_use]
pub fn large_block(wanted: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    // A multiple of four characters, which decode by themselves.
    const PIECE: usize = 1 << 12;
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|line| label(line, b"-----BEGIN ") == Some(wanted))?;
    let mut content = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut piece = Vec::with_capacity(PIECE);
    for line in lines {
        if line.starts_with(b"-----END ") {
            STANDARD.decode_vec(&piece, &mut content).ok()?;
            return Some(content);
        }
        // As every line but the last one of what OpenSSL and mailca write.
        if piece.is_empty() && line.len() == 64 && !line.iter().any(u8::is_ascii_whitespace) {
            STANDARD.decode_vec(line, &mut content).ok()?;
            continue;
        }
        for byte in line.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            piece.push(*byte);
            if piece.len() == PIECE {
                STANDARD.decode_vec(&piece, &mut content).ok()?;
                piece.clear();
            }
        }
    }
    None
}

/// A text without the byte order mark that some editors put before it.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// What is said of a block that has nothing in it.
pub const DAMAGED: &str = "it is cut short, or no base64";

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

/// The same for what is too large to hold as text too.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(label: &str, der: &[u8], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "-----BEGIN {label}-----")?;
    let mut line = [0; 65];
    for octets in der.chunks(48) {
        let length = STANDARD
            .encode_slice(octets, &mut line)
            .map_err(io::Error::other)?;
        line[length] = b'\n';
        out.write_all(&line[..=length])?;
    }
    writeln!(out, "-----END {label}-----")
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
    fn a_byte_order_mark_comes_before_the_first_block() {
        let text = b"\xef\xbb\xbf-----BEGIN A-----\nAQID\n-----END A-----\n";
        assert_eq!(found(text), [("A".into(), vec![1, 2, 3])]);
    }

    #[test]
    fn a_block_without_its_end_is_there_but_empty() {
        assert_eq!(found(b"-----BEGIN A-----\nAQID\n"), [("A".into(), vec![])]);
    }

    #[test]
    fn a_large_block_is_decoded_in_pieces_whatever_its_lines() {
        let der: Vec<u8> = (0..100_000_u32).map(|n| n.to_be_bytes()[3]).collect();
        let text = format!("text\n{}more", encode("X", &der));
        assert_eq!(large_block("X", text.as_bytes()), Some(der.clone()));
        let uneven = text.replace("A\n", "A").replace('\n', " \r\n");
        assert_eq!(large_block("X", uneven.as_bytes()), Some(der));
        assert_eq!(large_block("Y", text.as_bytes()), None);
        assert_eq!(large_block("X", &text.as_bytes()[..1000]), None);
        assert_eq!(large_block("X", text.replace('B', "!").as_bytes()), None);
    }

    #[test]
    fn both_ways_of_writing_give_the_same() {
        for length in [0, 1, 47, 48, 49, 96, 100] {
            let der = vec![7; length];
            let mut out = Vec::new();
            write("X", &der, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), encode("X", &der));
        }
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
