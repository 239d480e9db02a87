//! Masks: a hash, asterisks, or the first characters in place of a text (Debezium manual,
//! `column.mask.hash.hashAlgorithm.with.salt.salt`, `column.mask.with.length.chars`,
//! `column.truncate.to.length.chars`).

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

use crate::value::{ValueError, hex_digit, quoted};

/// What is shown of a text.
#[derive(Clone, PartialEq, Eq)]
pub enum Mask {
    /// The hash of salt and text in hexadecimal, as much of it as the column is long.
    Hash {
        /// The function.
        algorithm: HashAlgorithm,
        /// Goes before the text.
        salt: String,
        /// The text itself is hashed, not its form in Java's serialisation.
        plain: bool,
    },
    /// So many asterisks, even for null.
    Asterisks(usize),
    /// So many characters from the beginning, counted in UTF-16; a character is never cut in two.
    Truncate(usize),
}

/// Names are those of Java's `MessageDigest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// `MD5`.
    Md5,
    /// `SHA-1`.
    Sha1,
    /// `SHA-224`.
    Sha224,
    /// `SHA-256`.
    Sha256,
    /// `SHA-384`.
    Sha384,
    /// `SHA-512`.
    Sha512,
    /// `SHA3-224`.
    Sha3With224,
    /// `SHA3-256`.
    Sha3With256,
    /// `SHA3-384`.
    Sha3With384,
    /// `SHA3-512`.
    Sha3With512,
}

impl HashAlgorithm {
    /// Every name.
    pub const NAMES: &'static [&'static str] = &[
        "MD5", "SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512", "SHA3-224", "SHA3-256",
        "SHA3-384", "SHA3-512",
    ];

    /// The algorithm of this name, whatever its case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "MD5" => Self::Md5,
            "SHA-1" | "SHA1" | "SHA" => Self::Sha1,
            "SHA-224" => Self::Sha224,
            "SHA-256" => Self::Sha256,
            "SHA-384" => Self::Sha384,
            "SHA-512" => Self::Sha512,
            "SHA3-224" => Self::Sha3With224,
            "SHA3-256" => Self::Sha3With256,
            "SHA3-384" => Self::Sha3With384,
            "SHA3-512" => Self::Sha3With512,
            _ => return None,
        })
    }
}

// The salt is as good as a secret.
impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hash {
                algorithm, plain, ..
            } => write!(f, "Hash({algorithm:?}, plain: {plain})"),
            Self::Asterisks(count) => write!(f, "Asterisks({count})"),
            Self::Truncate(count) => write!(f, "Truncate({count})"),
        }
    }
}

impl Mask {
    /// Reads an option's name behind `column.`: `mask.hash.SHA-256.with.salt.SALT`,
    /// `mask.hash.v2.…`, `mask.with.5.chars`, `truncate.to.20.chars`. None if it is none of these.
    ///
    /// # Errors
    /// It is one of these, and wrong: the tail of a sentence.
    pub fn parse(option: &str) -> Option<Result<Self, String>> {
        let count = |text: &str| {
            text.strip_suffix(".chars")
                .and_then(|count| count.parse::<usize>().ok())
                .ok_or_else(|| "takes a number of characters: .5.chars".to_owned())
        };
        if let Some(rest) = option.strip_prefix("mask.with.") {
            return Some(count(rest).map(Self::Asterisks));
        }
        if let Some(rest) = option.strip_prefix("truncate.to.") {
            return Some(count(rest).map(Self::Truncate));
        }
        let rest = option.strip_prefix("mask.hash.")?;
        let (rest, plain) = match rest.strip_prefix("v2.") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let Some((name, salt)) = rest.split_once(".with.salt.") else {
            return Some(Err(
                "takes an algorithm and a salt: .SHA-256.with.salt.SALT".into(),
            ));
        };
        let algorithm = HashAlgorithm::parse(name).ok_or_else(|| {
            let names = HashAlgorithm::NAMES.join(", ");
            format!("does not know the algorithm {name}; it takes one of: {names}")
        });
        Some(algorithm.map(|algorithm| Self::Hash {
            algorithm,
            salt: salt.to_owned(),
            plain,
        }))
    }

    /// Whether different texts stay different, so that a key may be masked.
    #[must_use]
    pub fn tells_apart(&self) -> bool {
        matches!(self, Self::Hash { .. })
    }
}

/// The mask of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnMask {
    pub(crate) mask: Mask,
    /// The column's length, which a hash is cut to.
    pub(crate) length: Option<usize>,
}

impl ColumnMask {
    /// What stands for null.
    pub(crate) fn null(&self, out: &mut Vec<u8>) {
        match self.mask {
            Mask::Asterisks(count) => asterisks(count, out),
            _ => out.extend_from_slice(b"null"),
        }
    }

    /// Appends the masked text as a JSON string.
    pub(crate) fn write(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        self.write_cut(text, self.length, out)
    }

    /// As [`ColumnMask::write`], the hash not cut.
    pub(crate) fn write_whole(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        self.write_cut(text, None, out)
    }

    fn write_cut(
        &self,
        text: &[u8],
        length: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        match &self.mask {
            Mask::Hash {
                algorithm,
                salt,
                plain,
            } => {
                let mut hash = [0; HASH_LEN_MAX];
                let text = std::str::from_utf8(text).map_err(|_| ValueError::NotUtf8)?;
                let len = algorithm.hash(salt, text, *plain, &mut hash);
                let hash = hash.get(..len).unwrap_or_default();
                let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
                let length = length.unwrap_or(usize::MAX);
                out.push(b'"');
                out.extend(digits.take(length).map(hex_digit));
                out.push(b'"');
            }
            Mask::Asterisks(count) => asterisks(*count, out),
            Mask::Truncate(count) => {
                let text = std::str::from_utf8(text).map_err(|_| ValueError::NotUtf8)?;
                quoted(first(text, *count).as_bytes(), out)?;
            }
        }
        Ok(())
    }
}

const HASH_LEN_MAX: usize = 64;

fn asterisks(count: usize, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend(std::iter::repeat_n(b'*', count));
    out.push(b'"');
}

/// As many whole characters as fit in `count` units of UTF-16.
fn first(text: &str, count: usize) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > count
    });
    let end = end.map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

impl HashAlgorithm {
    /// Fills `hash`, and gives its length.
    fn hash(self, salt: &str, text: &str, plain: bool, hash: &mut [u8; HASH_LEN_MAX]) -> usize {
        match self {
            Self::Md5 => digest::<Md5>(salt, text, plain, hash),
            Self::Sha1 => digest::<Sha1>(salt, text, plain, hash),
            Self::Sha224 => digest::<Sha224>(salt, text, plain, hash),
            Self::Sha256 => digest::<Sha256>(salt, text, plain, hash),
            Self::Sha384 => digest::<Sha384>(salt, text, plain, hash),
            Self::Sha512 => digest::<Sha512>(salt, text, plain, hash),
            Self::Sha3With224 => digest::<Sha3_224>(salt, text, plain, hash),
            Self::Sha3With256 => digest::<Sha3_256>(salt, text, plain, hash),
            Self::Sha3With384 => digest::<Sha3_384>(salt, text, plain, hash),
            Self::Sha3With512 => digest::<Sha3_512>(salt, text, plain, hash),
        }
    }
}

fn digest<D: Digest>(salt: &str, text: &str, plain: bool, hash: &mut [u8; HASH_LEN_MAX]) -> usize {
    let mut digest = D::new();
    digest.update(salt);
    if plain {
        digest.update(text);
    } else {
        serialised(text, |bytes| digest.update(bytes));
    }
    let found = digest.finalize();
    for (byte, value) in hash.iter_mut().zip(&found) {
        *byte = *value;
    }
    found.len()
}

/// A string as Java's `ObjectOutputStream` writes it (Java Object Serialization Specification,
/// section 6): magic and version, `TC_STRING` or `TC_LONGSTRING`, length, modified UTF-8.
fn serialised(text: &str, mut put: impl FnMut(&[u8])) {
    let modified_len: usize = text.chars().map(|c| modified(c, |_| {})).sum();
    put(&[0xac, 0xed, 0x00, 0x05]);
    match u16::try_from(modified_len) {
        Ok(len) => {
            put(&[0x74]);
            put(&len.to_be_bytes());
        }
        Err(_) => {
            put(&[0x7c]);
            put(&(modified_len as u64).to_be_bytes());
        }
    }
    for c in text.chars() {
        modified(c, &mut put);
    }
}

/// A character in modified UTF-8: surrogates apart, no zero byte. Gives its length.
fn modified(c: char, mut put: impl FnMut(&[u8])) -> usize {
    if c == '\0' {
        put(&[0xc0, 0x80]);
        return 2;
    }
    if c.len_utf16() == 1 {
        put(c.encode_utf8(&mut [0; 4]).as_bytes());
        return c.len_utf8();
    }
    for unit in c.encode_utf16(&mut [0; 2]) {
        let [high, low] = unit.to_be_bytes();
        let middle = (high & 0x0f) << 2 | low >> 6;
        put(&[0xe0 | high >> 4, 0x80 | middle, 0x80 | (low & 0x3f)]);
    }
    6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(algorithm: HashAlgorithm, salt: &str, text: &str, plain: bool) -> String {
        let mask = ColumnMask {
            mask: Mask::Hash {
                algorithm,
                salt: salt.to_owned(),
                plain,
            },
            length: None,
        };
        let mut out = Vec::new();
        mask.write(text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hashes_are_debeziums() {
        let sha = HashAlgorithm::Sha256;
        assert!(hashed(sha, "abc", "v é", true).starts_with("\"69638f2b"));
        assert!(hashed(sha, "abc", "vc", false).starts_with("\"4a190681cd"));
        assert_eq!(
            hashed(sha, "CzQMA0cB5K", "é😀", true),
            "\"eb3fea9cd057c12555a0aceedc49e45c36e886194632bac4a4a3d6265537a1d8\""
        );
        for name in HashAlgorithm::NAMES {
            let algorithm = HashAlgorithm::parse(name).unwrap();
            assert!(hashed(algorithm, "", "", true).len() >= 34, "{name}");
        }
    }

    #[test]
    fn characters_are_never_cut() {
        assert_eq!(first("a😀b😀c", 4), "a😀b");
        assert_eq!(first("a😀b", 2), "a");
        assert_eq!(first("abc", 0), "");
        assert_eq!(first("abc", 9), "abc");
    }

    #[test]
    fn a_salt_is_not_shown() {
        let mask = Mask::Hash {
            algorithm: HashAlgorithm::Sha256,
            salt: "pepper".to_owned(),
            plain: true,
        };
        assert_eq!(format!("{mask:?}"), "Hash(Sha256, plain: true)");
    }
}
