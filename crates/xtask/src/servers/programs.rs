//! What programs in other languages need, for the examples: a Python with the packages of a
//! `requirements.txt`, and the jars of a `pom.xml`. Both are kept in the cache.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ServerError, cache, maven, process, versions};

const PYTHON_ADVICE: &str = "install Python 3.9 or later with venv (Debian: apt-get install python3 \
                             python3-venv)";

/// A `python` that has the packages of this `requirements.txt`, through pip as it is configured.
///
/// # Errors
/// When there is no Python or it is too old, or when pip cannot get the packages.
pub fn python(requirements: &Path) -> Result<PathBuf, ServerError> {
    let base = base_python()?;
    let wanted = read(requirements)?;
    let name = format!("python-{:016x}", digest(&(&base, &wanted)));
    let venv = cache::entry(&name, |directory| {
        eprintln!("provisioning Python packages with pip");
        let mut make = Command::new(&base.program);
        make.args(["-m", "venv"]).arg(directory);
        process::run(&mut make, "making a virtual environment")?;
        // By its python and not by its pip: the directory has another name when it is whole.
        let mut install = Command::new(directory.join("bin/python"));
        install
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(requirements);
        process::run(&mut install, "installing Python packages")
    })?;
    Ok(venv.join("bin/python"))
}

/// The Python that the machine has.
#[derive(Hash)]
struct BasePython {
    program: PathBuf,
    version: String,
}

fn base_python() -> Result<BasePython, ServerError> {
    let missing = |part: String| ServerError::Missing {
        part,
        advice: PYTHON_ADVICE.to_owned(),
    };
    let program = process::on_path("python3").ok_or_else(|| missing("Python".to_owned()))?;
    // ensurepip is what Debian's python3 lacks without python3-venv.
    let asks = "import ensurepip, sys, venv; print(sys.version.split()[0], sys.base_prefix)";
    let output = Command::new(&program)
        .args(["-c", asks])
        .output()
        .map_err(ServerError::file(&program))?;
    if !output.status.success() {
        return Err(missing(format!("venv of {}", program.display())));
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if python_version(&version).is_none_or(|found| found < versions::PYTHON_MIN) {
        let (major, minor) = versions::PYTHON_MIN;
        let found = program.display();
        return Err(missing(format!(
            "Python {major}.{minor} or later ({found} is {version})"
        )));
    }
    Ok(BasePython { program, version })
}

/// Major and minor of `3.11.7 /usr`.
fn python_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// A Java program: its classes, and the jars they need.
#[derive(Debug)]
pub struct JavaProgram {
    jars: PathBuf,
    classes: PathBuf,
}

impl JavaProgram {
    /// Compiles one source file against the dependencies of a `pom.xml`; the classes go to `classes`.
    ///
    /// # Errors
    /// When a JDK or Maven is missing, or when the source does not compile.
    pub fn compile(pom: &Path, source: &Path, classes: &Path) -> Result<Self, ServerError> {
        let text = read(pom)?;
        let program = Self {
            jars: maven::jars_of(&format!("java-{:016x}", digest(&text)), &text)?,
            classes: classes.to_owned(),
        };
        let mut javac = Command::new(maven::javac_binary()?);
        javac
            .args(["-Xlint:all", "-Werror", "-cp"])
            .arg(program.jars.join("*"))
            .arg("-d")
            .arg(classes)
            .arg(source);
        process::run(&mut javac, "compiling an example")?;
        Ok(program)
    }

    /// A `java` that runs one of its classes, small and quick to start.
    ///
    /// # Errors
    /// When there is no Java.
    pub fn command(&self, class: &str) -> Result<Command, ServerError> {
        let mut class_path = OsString::from(&self.classes);
        class_path.push(":");
        class_path.push(self.jars.join("*"));
        let mut java = Command::new(maven::java_binary()?);
        java.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(class_path)
            .arg(class);
        Ok(java)
    }
}

fn read(path: &Path) -> Result<String, ServerError> {
    fs::read_to_string(path).map_err(ServerError::file(path))
}

/// Names an entry of the cache. Another compiler may give another name, and costs one more download.
fn digest(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_python_are_numbers() {
        assert_eq!(python_version("3.11.7 /usr"), Some((3, 11)));
        assert!(python_version("3.9.18 /usr") < python_version("3.10.0 /usr"));
        assert_eq!(python_version("3.14.0rc1 /usr"), Some((3, 14)));
        assert_eq!(python_version("not found"), None);
    }
}
