//! JVM servers from Maven artifacts: resolve them into a directory of jars, and start classes of it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ServerError, cache, process, versions};

/// `group:artifact:version`, split.
pub(super) type Coordinates<'a> = (&'a str, &'a str, &'a str);

const JDK_ADVICE: &str = "install a JDK of version 17 or later (Debian: apt-get install \
                          openjdk-17-jre-headless) or set JAVA_HOME";
const COMPILER_ADVICE: &str = "install a JDK of version 17 or later (Debian: apt-get install \
                               openjdk-17-jdk-headless) or set JAVA_HOME";
const MAVEN_ADVICE: &str = "install Maven (Debian: apt-get install maven)";

/// The jars of `artifacts` and of all they need, in the cache as `name`.
pub(super) fn jars(name: &str, artifacts: &[Coordinates]) -> Result<PathBuf, ServerError> {
    jars_of(name, &pom_of(artifacts))
}

/// The jars of all that a `pom.xml` depends on, in the cache as `name`.
pub(super) fn jars_of(name: &str, project: &str) -> Result<PathBuf, ServerError> {
    cache::entry(name, |directory| {
        let mvn = maven()?;
        eprintln!("provisioning {name} from Maven artifacts");
        let pom = directory.join("pom.xml");
        fs::write(&pom, project).map_err(ServerError::file(&pom))?;
        let goal = format!(
            "org.apache.maven.plugins:maven-dependency-plugin:{}:copy-dependencies",
            versions::MAVEN_DEPENDENCY_PLUGIN
        );
        let mut command = Command::new(mvn);
        command
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .arg(goal)
            .arg("-DincludeScope=runtime")
            .arg(argument("-DoutputDirectory=", directory));
        process::run(&mut command, name)
    })
}

/// Unpacks one jar into `directory`.
pub(super) fn unpack(artifact: Coordinates, directory: &Path) -> Result<(), ServerError> {
    let (group, name, version) = artifact;
    let pom = directory.join("pom.xml");
    fs::write(&pom, pom_of(&[artifact])).map_err(ServerError::file(&pom))?;
    let goal = format!(
        "org.apache.maven.plugins:maven-dependency-plugin:{}:unpack-dependencies",
        versions::MAVEN_DEPENDENCY_PLUGIN
    );
    let mut command = Command::new(maven()?);
    command
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .arg(goal)
        .arg(argument("-DoutputDirectory=", directory));
    process::run(&mut command, &format!("{group}:{name}:{version}"))
}

/// A `java` that runs `class` with these jars on its class path; the caller adds arguments.
pub(super) fn java(
    jars: &Path,
    heap_mib: u32,
    options: &[&str],
    class: &str,
) -> Result<Command, ServerError> {
    let mut command = Command::new(java_binary()?);
    command
        .arg(format!("-Xmx{heap_mib}m"))
        .args([
            "-XX:+UseG1GC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ])
        .args(options)
        .arg("-cp")
        .arg(jars.join("*"))
        .arg(class);
    Ok(command)
}

/// The compiler, which a JRE does not have.
pub(super) fn javac_binary() -> Result<PathBuf, ServerError> {
    of_jdk("javac").ok_or_else(|| ServerError::Missing {
        part: "javac".to_owned(),
        advice: COMPILER_ADVICE.to_owned(),
    })
}

fn of_jdk(program: &str) -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin").join(program));
    home.filter(|program| program.is_file())
        .or_else(|| process::on_path(program))
}

pub(super) fn java_binary() -> Result<PathBuf, ServerError> {
    let java = of_jdk("java").ok_or_else(|| ServerError::Missing {
        part: "Java".to_owned(),
        advice: JDK_ADVICE.to_owned(),
    })?;
    let output = Command::new(&java)
        .arg("-version")
        .output()
        .map_err(ServerError::file(&java))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match java_major(&text) {
        Some(major) if major >= versions::JDK_MAJOR_MIN => Ok(java),
        _ => Err(ServerError::Missing {
            part: format!(
                "Java {} or later ({} is older)",
                versions::JDK_MAJOR_MIN,
                java.display()
            ),
            advice: JDK_ADVICE.to_owned(),
        }),
    }
}

/// The major in what `java -version` prints: `openjdk version "17.0.15" 2025-04-15`, and the
/// `"1.8.0_402"` of old.
fn java_major(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok());
    match numbers.next()? {
        1 => numbers.next(),
        major => Some(major),
    }
}

fn maven() -> Result<PathBuf, ServerError> {
    process::on_path("mvn").ok_or_else(|| ServerError::Missing {
        part: "Maven".to_owned(),
        advice: MAVEN_ADVICE.to_owned(),
    })
}

fn argument(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

fn pom_of(artifacts: &[Coordinates]) -> String {
    let dependencies: String = artifacts
        .iter()
        .map(|(group, artifact, version)| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version></dependency>\n"
            )
        })
        .collect();
    // The namespace is Maven's name for its own format; nothing is fetched from it.
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<modelVersion>4.0.0</modelVersion>\n\
         <groupId>walferry</groupId><artifactId>provisioned</artifactId><version>1</version>\n\
         <packaging>pom</packaging>\n<dependencies>\n{dependencies}</dependencies>\n</project>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_major_of_new_and_old_forms() {
        let cases = [
            (
                "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime",
                Some(17),
            ),
            ("java version \"1.8.0_402\"\n", Some(8)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"24-ea\" 2025-03-18", Some(24)),
            ("command not found", None),
        ];
        for (text, major) in cases {
            assert_eq!(java_major(text), major, "{text}");
        }
    }
}
