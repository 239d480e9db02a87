//! The two spellings of a connection string, cut into settings ("Connection Strings").
//!
//! Nothing is judged here but the spelling. Errors quote no part of the text: a password with a
//! stray `/` or space would otherwise show up in them.

use thiserror::Error;

/// One `key=value`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
}

/// What is wrong with the spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpellingError {
    /// A word without a value, or a password with a space and no quotes.
    #[error(
        "there is a word without '=' at character {0}; a value with spaces needs quotes: \
        password='two words'"
    )]
    MissingEquals(usize),
    /// A quote that never closes.
    #[error("the quote that opens at character {0} is not closed")]
    OpenQuote(usize),
    /// `%` not followed by two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the URL has a wrong percent escape; write % itself as %25")]
    Percent,
    /// A raw `@` where none can be.
    #[error(
        "the URL has an '@' after the host; write '/', '@', ':', '?' and '#' in a user or \
        password as %2F, %40, %3A, %3F and %23"
    )]
    StrayAt,
    /// `[::1` and the like.
    #[error("the URL has an IPv6 address without its closing bracket")]
    Bracket,
    /// A parameter after `?` without a value.
    #[error("the URL has a parameter without '=' after its '?'")]
    Parameter,
}

/// Cuts either form.
pub(super) fn settings(text: &str) -> Result<Vec<Setting>, SpellingError> {
    let text = text.trim();
    let url = text
        .strip_prefix("postgresql://")
        .or_else(|| text.strip_prefix("postgres://"));
    url.map_or_else(|| keywords(text), url_settings)
}

fn url_settings(rest: &str) -> Result<Vec<Setting>, SpellingError> {
    let mut out = Vec::new();
    let mut push = |key: &str, value: String| {
        out.push(Setting {
            key: key.to_owned(),
            value,
        })
    };
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, dbname) = before_query.split_once('/').unwrap_or((before_query, ""));
    if dbname.contains('@') {
        return Err(SpellingError::StrayAt);
    }
    let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if userinfo.contains('@') {
        return Err(SpellingError::StrayAt);
    }
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    if !user.is_empty() {
        push("user", percent_decoded(user)?);
    }
    if !password.is_empty() {
        push("password", percent_decoded(password)?);
    }
    if !hosts.is_empty() {
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = host_and_port(host)?;
            names.push(percent_decoded(name)?);
            ports.push(percent_decoded(port)?);
        }
        if names.iter().any(|name| !name.is_empty()) {
            push("host", names.join(","));
        }
        if ports.iter().any(|port| !port.is_empty()) {
            push("port", ports.join(","));
        }
    }
    if !dbname.is_empty() {
        push("dbname", percent_decoded(dbname)?);
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').ok_or(SpellingError::Parameter)?;
        match (percent_decoded(key)?.as_str(), percent_decoded(value)?) {
            // What JDBC's URLs say, which libpq understands too.
            ("ssl", value) if value == "true" => push("sslmode", "require".to_owned()),
            (key, value) => push(key, value),
        }
    }
    Ok(out)
}

fn host_and_port(text: &str) -> Result<(&str, &str), SpellingError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or(SpellingError::Bracket)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((name, port)),
            None if rest.is_empty() => Ok((name, "")),
            None => Err(SpellingError::Bracket),
        };
    }
    Ok(text.split_once(':').unwrap_or((text, "")))
}

fn percent_decoded(text: &str) -> Result<String, SpellingError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(SpellingError::Percent);
        };
        let decoded = u8::try_from(high * 16 + low).map_err(|_| SpellingError::Percent)?;
        if decoded == 0 {
            return Err(SpellingError::Percent);
        }
        bytes.push(decoded);
    }
    String::from_utf8(bytes).map_err(|_| SpellingError::Percent)
}

fn keywords(text: &str) -> Result<Vec<Setting>, SpellingError> {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied();
    let space = |index: usize| at(index).is_some_and(char::is_whitespace);
    let mut out = Vec::new();
    let mut index = 0;
    loop {
        while space(index) {
            index += 1;
        }
        if at(index).is_none() {
            return Ok(out);
        }
        let start = index;
        while at(index).is_some_and(|c| c != '=' && !c.is_whitespace()) {
            index += 1;
        }
        let key: String = characters[start..index].iter().collect();
        while space(index) {
            index += 1;
        }
        if at(index) != Some('=') {
            return Err(SpellingError::MissingEquals(start + 1));
        }
        index += 1;
        while space(index) {
            index += 1;
        }
        let (value, after) = keyword_value(&characters, index)?;
        out.push(Setting { key, value });
        index = after;
    }
}

/// A value from `start` on, and where it ends. A backslash takes the next character as it is.
fn keyword_value(characters: &[char], start: usize) -> Result<(String, usize), SpellingError> {
    let quoted = characters.get(start) == Some(&'\'');
    let mut value = String::new();
    let mut index = start + usize::from(quoted);
    loop {
        match characters.get(index) {
            None if quoted => return Err(SpellingError::OpenQuote(start + 1)),
            None => return Ok((value, index)),
            Some('\'') if quoted => return Ok((value, index + 1)),
            Some(c) if c.is_whitespace() && !quoted => return Ok((value, index)),
            Some('\\') => {
                index += 1;
                value.extend(characters.get(index));
            }
            Some(c) => value.push(*c),
        }
        index += 1;
    }
}
