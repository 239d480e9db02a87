//! `admin.listen`: where the admin page listens.

use super::reader::Reader;

/// Where the admin page, metrics and health listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At this `host:port`.
    At {
        /// The address.
        address: String,
        /// Who chose it: a taken port is an error or only a warning.
        chosen: Chosen,
    },
}

/// Who chose a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The configuration.
    ByUser,
    /// The default.
    ByDefault,
}

pub(super) const DEFAULT_LISTEN: &str = "127.0.0.1:7466";

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Listen> {
    let chosen = match reader.is_set("admin.listen") {
        true => Chosen::ByUser,
        false => Chosen::ByDefault,
    };
    reader.parsed("admin.listen", |text| {
        if text == "off" {
            return Ok(Listen::Off);
        }
        // Port 0 takes any free port: tests want that, and the log says which.
        super::kafka::host_and_port(text, 0)
            .map(|()| Listen::At {
                address: text.to_owned(),
                chosen,
            })
            .map_err(|reason| format!("{reason}; write host:port, or off"))
    })
}
