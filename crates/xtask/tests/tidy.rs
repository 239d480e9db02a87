//! The house's shape as a test: who may depend on whom, how large a file may be, what must not be
//! there, and that the map names what exists. Clippy holds the rest (function length, clocks, files).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::workspace_root;

/// Package, and the packages of ours it may use. An arrow that is not here needs a page under
/// docs/decisions.
const ARROWS: [(&str, &[&str]); 10] = [
    ("walferry-inbox", &[]),
    ("walferry-pgwire", &[]),
    ("walferry-pgoutput", &[]),
    ("walferry-envelope", &["walferry-pgoutput"]),
    (
        "walferry-relay",
        &["walferry-pgoutput", "walferry-envelope"],
    ),
    (
        "walferry",
        &[
            "walferry-pgwire",
            "walferry-pgoutput",
            "walferry-envelope",
            "walferry-relay",
        ],
    ),
    (
        "walferry-simulator",
        &["walferry-pgoutput", "walferry-envelope", "walferry-relay"],
    ),
    ("xtask", &[]),
    ("e2e", &["xtask", "walferry-inbox"]),
    ("example-consumer", &["walferry-inbox"]),
];

/// These never wait, listen, draw lots or look at a clock.
const PURE: [&str; 4] = [
    "walferry-pgwire",
    "walferry-pgoutput",
    "walferry-envelope",
    "walferry-relay",
];

const FILE_LINES_MAX: usize = 600;

const MODULE_NAMES_BANNED: [&str; 6] = ["utils", "common", "types", "helpers", "manager", "engine"];

#[test]
fn arrows_point_where_the_design_says() {
    let packages = packages();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let ours: BTreeSet<&str> = allowed.keys().copied().collect();
    let found: BTreeSet<&str> = packages.iter().map(|package| &*package.name).collect();
    assert_eq!(found, ours, "the workspace's packages are the design's");
    for package in &packages {
        for dependency in package
            .dependencies
            .iter()
            .filter(|name| ours.contains(&***name))
        {
            assert!(
                allowed[&*package.name].contains(&&**dependency),
                "{} must not depend on {dependency}",
                package.name
            );
        }
    }
}

#[test]
fn pure_crates_have_no_runtime_client_or_dice() {
    let banned = [
        "tokio", "rdkafka", "rand", "chrono", "socket2", "mio", "tracing", "rustix",
    ];
    for package in packages()
        .iter()
        .filter(|package| PURE.contains(&&*package.name))
    {
        for dependency in &package.dependencies {
            assert!(
                !banned.contains(&&**dependency),
                "{} has {dependency}",
                package.name
            );
        }
    }
}

#[test]
fn files_are_small_and_say_what_they_are() {
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!(
                "{}: {lines} lines, at most {FILE_LINES_MAX}",
                path.display()
            ));
        }
        // A module's tests in a file beside it are part of that module, which has its sentence.
        if !text.starts_with("//!") && !path.ends_with("tests.rs") {
            faults.push(format!("{}: starts with no //! sentence", path.display()));
        }
        // The end-to-end tests are one behaviour a file, and one of them is about types.
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let parent = path
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let banned = MODULE_NAMES_BANNED
            .iter()
            .any(|&name| name == stem || Some(name) == parent);
        if banned && !path.starts_with("tests") {
            faults.push(format!(
                "{}: a module name that says nothing",
                path.display()
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_left_undone_skipped_or_expected_to_panic() {
    // Joined here, so that this file does not contain them.
    let words = [
        ["#[", "ignore"],
        ["#[", "should_panic"],
        ["TO", "DO"],
        ["FIX", "ME"],
    ];
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        for word in words.map(|parts| parts.concat()) {
            faults.extend(
                text.contains(&word)
                    .then(|| format!("{}: {word}", path.display())),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_registry_host_and_no_developers_path_is_written_down() {
    let hosts = [
        ["index.crates", ".io"],
        ["static.crates", ".io"],
        ["registry.npm", "js.org"],
        ["repo1.maven", ".org"],
        ["repo.maven", ".apache.org"],
        ["deb.debian", ".org"],
        ["proxy.golang", ".org"],
        ["pythonhosted", ".org"],
        ["/tmp", "/wt"],
        ["/work", "/main"],
    ];
    let mut faults = Vec::new();
    for (path, text) in text_files() {
        for host in hosts.map(|parts| parts.concat()) {
            faults.extend(
                text.contains(&host)
                    .then(|| format!("{}: {host}", path.display())),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `From [consumer.py](consumer.py):` before a block of code is a promise.
#[test]
fn code_in_the_documentation_is_the_files_own() {
    let mut faults = Vec::new();
    let mut quotes = 0;
    for (page, text) in pages() {
        for (before, code) in quoted(&text) {
            quotes += 1;
            let target = before
                .rsplit_once("](")
                .and_then(|(_, target)| target.split_once(')'));
            let file = target.map(|(target, _)| beside(&page, target));
            let source = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
            if !source.is_some_and(|source| is_excerpt(&code, &source)) {
                let page = page.display();
                faults.push(format!(
                    "{page}: what follows {before:?} is not in that file"
                ));
            }
        }
    }
    assert!(quotes >= 5, "the pages quote their examples: {quotes}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut faults = Vec::new();
    for (page, text) in pages() {
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        for (target, _) in targets {
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://");
            if !elsewhere && !beside(&page, path).exists() {
                faults.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The pages, by their path from the root.
fn pages() -> Vec<(PathBuf, String)> {
    let mut files = text_files();
    files.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "md"));
    files
}

fn beside(page: &Path, target: &str) -> PathBuf {
    let directory = page.parent().unwrap_or(Path::new(""));
    workspace_root().join(directory).join(target)
}

/// Blocks of code behind a line that ends with a link to a file and a colon, each with that line.
fn quoted(text: &str) -> Vec<(&str, Vec<&str>)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = |at: usize| {
        lines[at].ends_with("):")
            && !lines[at].ends_with(".md):")
            && lines.get(at + 1).is_some_and(|line| line.is_empty())
            && lines
                .get(at + 2)
                .is_some_and(|line| line.starts_with("```"))
    };
    (0..lines.len())
        .filter(|&at| starts(at))
        .map(|at| {
            let code = lines[at + 3..].iter().take_while(|line| **line != "```");
            (lines[at], code.copied().collect())
        })
        .collect()
}

/// Whether these lines stand together in a file, further to the right perhaps.
fn is_excerpt(code: &[&str], source: &str) -> bool {
    let source: Vec<&str> = source.lines().collect();
    let code = without_indent(code);
    !code.is_empty()
        && source
            .windows(code.len())
            .any(|lines| without_indent(lines) == code)
}

fn without_indent<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let indent = |line: &&&str| line.len() - line.trim_start().len();
    let least = lines.iter().filter(|line| !line.is_empty());
    let least = least.map(|line| indent(&line)).min().unwrap_or(0);
    let cut = |line: &&'a str| line.get(least..).unwrap_or_default();
    lines.iter().map(cut).collect()
}

#[test]
fn the_map_names_what_is_there() {
    let root = workspace_root();
    let map = fs::read_to_string(root.join("docs/architecture.md")).expect("the map");
    let known: BTreeSet<String> = rust_files()
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let named = map
        .split(|c: char| !is_path(c))
        .filter(|word| word.ends_with(".rs"));
    let missing: Vec<&str> = named.filter(|name| !exists(name, &known)).collect();
    assert!(
        missing.is_empty(),
        "docs/architecture.md names what is not there: {missing:?}"
    );
    for directory in [
        "pgwire",
        "pgoutput",
        "envelope",
        "relay",
        "connector",
        "simulator",
        "xtask",
    ] {
        let name = format!("crates/{directory}");
        assert!(
            map.contains(&name),
            "docs/architecture.md does not name {name}"
        );
    }
}

/// `relay/ledger.rs`, `relay/src/ledger.rs` and `crates/relay/src/ledger.rs` all mean the same.
fn exists(name: &str, known: &BTreeSet<String>) -> bool {
    let in_source = name
        .split_once('/')
        .map(|(krate, file)| format!("crates/{krate}/src/{file}"));
    let forms = [
        Some(name.to_owned()),
        Some(format!("crates/{name}")),
        in_source,
    ];
    forms.iter().flatten().any(|form| known.contains(form))
        || (!name.contains('/') && known.iter().any(|path| path.ends_with(&format!("/{name}"))))
}

struct Package {
    name: String,
    /// Of the product: without those for tests alone.
    dependencies: Vec<String>,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--offline",
            "--locked",
        ])
        .current_dir(workspace_root())
        .output()
        .expect("cargo metadata");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let of_product = |dependency: &&serde_json::Value| dependency["kind"] != "dev";
    let package = |package: &serde_json::Value| Package {
        name: text(&package["name"]),
        dependencies: package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(of_product)
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    };
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(package)
        .collect()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let mut files = text_files();
    files.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(
        files.len() > 30,
        "the walk finds the sources: {}",
        files.len()
    );
    files
}

/// All text files of the project with their paths from the root, without what is built or generated.
fn text_files() -> Vec<(PathBuf, String)> {
    let root = workspace_root();
    let skipped = ["target", ".git", "artifacts", "corpus", "Cargo.lock"];
    let mut open = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)
            .expect("a readable directory")
            .flatten()
        {
            let name = entry.file_name();
            if skipped.iter().any(|skip| name == **skip) {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let relative = path.strip_prefix(&root).expect("below the root").to_owned();
                files.push((relative, text));
            }
        }
    }
    files
}
