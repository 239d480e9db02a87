//! A case: one SQL file with directives in its comments.
//!
//! `-- option NAME=VALUE` is for both sides, under Debezium's name; `-- debezium` and `-- walferry`
//! are for one of them. `-- stream` starts both, `-- sync` waits until both have said everything,
//! `-- restart` stops both, `-- incremental N` waits until both have published N rows of incremental snapshots, `-- volatile FIELD…` names fields that hold the present time; without `-- stream` they start after the last statement.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::statements;

/// An option's name and its value.
pub(super) type Setting = (String, String);

/// What happens, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// One statement, by itself.
    Statement(String),
    /// Both sides start.
    Start,
    /// Both sides say what has happened so far.
    Sync,
    /// So many rows that were asked for while streaming have come from each side.
    Asked(usize),
    /// Both sides say what has happened so far, and stop.
    Stop,
}

/// One file of `tests/oracle`.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    /// The file's name without `.sql`.
    pub(super) name: String,
    /// For both, by Debezium's names.
    pub(super) options: Vec<Setting>,
    /// Debezium's connector alone.
    pub(super) debezium: Vec<Setting>,
    /// walferry's file alone.
    pub(super) walferry: Vec<Setting>,
    /// Fields that its SQL fills with the time.
    pub(super) volatile: Vec<String>,
    /// Extensions that the server must have.
    pub(super) extensions: Vec<String>,
    /// The oldest major on which it means something.
    pub(super) postgres_min: u32,
    /// See [`Step`].
    pub(super) steps: Vec<Step>,
}

/// The directory of the cases.
pub(super) fn directory() -> PathBuf {
    xtask::workspace_root().join("tests/oracle")
}

/// All cases whose names match one of the patterns (`types*`), or all that are not pending.
pub(super) fn find(patterns: &[String]) -> Result<Vec<Case>> {
    let pending = pending()?;
    let mut names = Vec::new();
    for entry in fs::read_dir(directory()).context("there is no tests/oracle")? {
        let path = entry?.path();
        let is_sql = path.extension().is_some_and(|extension| extension == "sql");
        let name = path.file_stem().and_then(|stem| stem.to_str());
        names.extend(name.filter(|_| is_sql).map(str::to_owned));
    }
    names.sort();
    for pattern in patterns {
        let known = names.iter().any(|name| matches(pattern, name));
        ensure!(known, "there is no case {pattern} in tests/oracle");
    }
    names.retain(|name| match patterns {
        [] => !pending.contains(name),
        // A pending case runs by its whole name only.
        some => some
            .iter()
            .any(|pattern| pattern == name || matches(pattern, name) && !pending.contains(name)),
    });
    names.iter().map(|name| Case::read(name)).collect()
}

/// Cases that walferry cannot pass yet.
pub(super) fn pending() -> Result<Vec<String>> {
    let path = directory().join("pending.txt");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let names = text.lines().filter_map(|line| line.split_once(':'));
    Ok(names.map(|(name, _)| name.to_owned()).collect())
}

/// A name, or its beginning with `*` behind it.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

impl Case {
    fn read(name: &str) -> Result<Self> {
        let mut case = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        let path = directory().join(format!("{name}.sql"));
        case.add_file(&path, true)
            .with_context(|| path.display().to_string())?;
        let streams = case.steps.contains(&Step::Start);
        if !streams {
            case.steps.push(Step::Start);
        }
        if case.steps.last() != Some(&Step::Stop) {
            case.steps.push(Step::Stop);
        }
        if case.option("snapshot.mode").is_none() {
            let mode = if streams { "no_data" } else { "initial" };
            case.options
                .push(("snapshot.mode".to_owned(), mode.to_owned()));
        }
        Ok(case)
    }

    /// The value of an option for both sides.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let mut options = self.options.iter();
        let found = options.find(|(option, _)| option == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Where its record is.
    pub(super) fn expected(&self) -> PathBuf {
        directory().join(format!("{}.expected", self.name))
    }

    fn add_file(&mut self, path: &Path, streams: bool) -> Result<()> {
        let text = fs::read_to_string(path)?;
        let mut sql = String::new();
        for line in text.lines() {
            let Some(comment) = line.strip_prefix("-- ") else {
                sql.push_str(line);
                sql.push('\n');
                continue;
            };
            let (word, rest) = comment.split_once(' ').unwrap_or((comment, ""));
            let step = match word {
                "stream" if !streams => continue,
                "stream" if rest.is_empty() => Some(Step::Start),
                "sync" if rest.is_empty() => Some(Step::Sync),
                "restart" if rest.is_empty() => Some(Step::Stop),
                "incremental" => rest.parse().ok().map(Step::Asked),
                _ => None,
            };
            if step.is_some() || matches!(word, "include" | "rows") {
                self.add_statements(&sql);
                sql.clear();
            }
            match word {
                _ if step.is_some() => self.steps.extend(step),
                "include" => self.add_file(&path.with_file_name(rest), streams)?,
                "rows" => self.add_file(&path.with_file_name(rest), false)?,
                _ => self.add_directive(word, rest)?,
            }
        }
        self.add_statements(&sql);
        Ok(())
    }

    fn add_statements(&mut self, sql: &str) {
        let statements = statements::split(sql);
        self.steps.extend(
            statements
                .into_iter()
                .map(|statement| Step::Statement(statement.to_owned())),
        );
    }

    /// Anything else that a comment may be; prose passes.
    fn add_directive(&mut self, word: &str, rest: &str) -> Result<()> {
        let list = match word {
            "option" => &mut self.options,
            "debezium" => &mut self.debezium,
            "walferry" => &mut self.walferry,
            "volatile" => {
                self.volatile.extend(rest.split(' ').map(str::to_owned));
                return Ok(());
            }
            "needs" => return self.add_need(rest),
            _ => return Ok(()),
        };
        // Prose may begin with these words, too, but has no such sign.
        if let Some((name, value)) = rest.split_once('=') {
            ensure!(!name.contains(' '), "`{rest}` is no option");
            if !list.iter().any(|(known, _)| known == name) {
                list.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }

    fn add_need(&mut self, rest: &str) -> Result<()> {
        match rest.split_once(' ') {
            Some(("extension", name)) => self.extensions.push(name.to_owned()),
            Some(("postgres", bound)) => {
                let major = bound.trim_start_matches(">= ").parse();
                self.postgres_min = major.with_context(|| format!("`needs {rest}`"))?;
            }
            _ => bail!("`needs {rest}`: an extension, or postgres >= N"),
        }
        Ok(())
    }
}
