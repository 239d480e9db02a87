//! The admin server: a page for people, `/metrics` for Prometheus, `/health` for orchestrators.
//!
//! It only shows. There is no row data, no key, no secret, and nothing that can be changed, so a
//! loopback address needs no login; put a proxy in front of it to show it to others.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::config::{Chosen, Listen};
use crate::telemetry::{self, Telemetry, Verdict};

/// The address could not be listened on, though the configuration asks for it.
#[derive(Debug, thiserror::Error)]
#[error("admin.listen: cannot listen on {address}: {source}{}; choose another, or off", perhaps(.source))]
pub struct AdminError {
    /// The configured address.
    pub address: String,
    /// The operating system's reason.
    pub source: io::Error,
}

/// Who has the address, most likely.
fn perhaps(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (perhaps a walferry with this file runs already)",
        _ => "",
    }
}

/// The server, listening and not yet answering.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Takes the address. `None` when it is off, or when the default one is taken, which is
    /// logged.
    ///
    /// # Errors
    /// The address that the configuration names cannot be taken.
    pub async fn bind(listen: &Listen) -> Result<Option<Self>, AdminError> {
        let Listen::At { address, chosen } = listen else {
            return Ok(None);
        };
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        match (bound.await, chosen) {
            (Ok(admin), _) => Ok(Some(admin)),
            (Err(source), Chosen::ByUser) => Err(AdminError {
                address: address.clone(),
                source,
            }),
            (Err(error), Chosen::ByDefault) => {
                let perhaps = perhaps(&error);
                tracing::warn!(
                    %address,
                    error = %format_args!("{error}{perhaps}"),
                    "no admin page: its address cannot be had; set admin.listen to another, or off"
                );
                Ok(None)
            }
        }
    }

    /// Where it listens: the port it got, if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is done; requests under way are finished.
    ///
    /// # Errors
    /// The listener failed for good.
    pub async fn serve(
        self,
        telemetry: Telemetry,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(self.listener, routes(telemetry))
            .with_graceful_shutdown(stop)
            .await
    }
}

fn routes(telemetry: Telemetry) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(telemetry)
}

async fn page() -> impl IntoResponse {
    (
        GUARDS,
        [(header::CONTENT_SECURITY_POLICY, POLICY)],
        Html(PAGE),
    )
}

async fn status(State(telemetry): State<Telemetry>) -> Response {
    json(StatusCode::OK, &telemetry.view())
}

async fn metrics(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    let content_type = [(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)];
    (GUARDS, content_type, telemetry::exposition(&telemetry))
}

async fn live(State(telemetry): State<Telemetry>) -> Response {
    answer("live", &telemetry.health().live)
}

async fn ready(State(telemetry): State<Telemetry>) -> Response {
    answer("ready", &telemetry.health().ready)
}

/// `{"ready":false,"reason":"..."}`, with 503 for no.
fn answer(question: &str, verdict: &Verdict) -> Response {
    match verdict {
        Verdict::Yes => json(StatusCode::OK, &serde_json::json!({ question: true })),
        Verdict::No(reason) => json(
            StatusCode::SERVICE_UNAVAILABLE,
            &serde_json::json!({ question: false, "reason": reason }),
        ),
    }
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let content_type = [(header::CONTENT_TYPE, "application/json")];
            (status, GUARDS, content_type, body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

const PAGE: &str = include_str!("admin/page.html");

/// The page is one file: it loads nothing, and speaks to nobody but us.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'";

const GUARDS: [(HeaderName, &str); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
];

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::telemetry::{Reading, Stage};

    fn any_port(chosen: Chosen) -> Listen {
        Listen::At {
            address: "127.0.0.1:0".to_owned(),
            chosen,
        }
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: walferry\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_and_stops() {
        let telemetry = Telemetry::new("shop");
        let admin = Admin::bind(&any_port(Chosen::ByUser))
            .await
            .unwrap()
            .unwrap();
        let address = admin.address();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = tokio::spawn(admin.serve(telemetry.clone(), async {
            let _ = stopped.await;
        }));

        let answer = get(address, "/health/ready").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(
            answer.ends_with(r#"{"ready":false,"reason":"starting"}"#),
            "{answer}"
        );
        telemetry.enter(Stage::Streaming, None);
        telemetry.report(Reading::default());
        let answer = get(address, "/health/ready").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            get(address, "/health/live")
                .await
                .ends_with(r#"{"live":true}"#)
        );

        let answer = get(address, "/metrics").await;
        assert!(answer.contains("application/openmetrics-text"), "{answer}");
        assert!(
            answer.contains("walferry_stage{stage=\"streaming\"} 1.0"),
            "{answer}"
        );
        let answer = get(address, "/status").await;
        assert!(answer.contains(r#""stage":"streaming""#), "{answer}");
        let answer = get(address, "/").await;
        assert!(
            answer.contains("content-security-policy: default-src 'none'"),
            "{answer}"
        );
        assert!(
            get(address, "/etc/passwd")
                .await
                .starts_with("HTTP/1.1 404")
        );

        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_only_when_it_was_chosen() {
        let first = Admin::bind(&any_port(Chosen::ByUser))
            .await
            .unwrap()
            .unwrap();
        let address = first.address().to_string();
        let at = |chosen| Listen::At {
            address: address.clone(),
            chosen,
        };
        let error = Admin::bind(&at(Chosen::ByUser)).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&address), "{said}");
        assert!(said.contains("perhaps a walferry"), "{said}");
        assert!(Admin::bind(&at(Chosen::ByDefault)).await.unwrap().is_none());
        assert!(Admin::bind(&Listen::Off).await.unwrap().is_none());
    }

    /// What the policy forbids would only be seen in a browser; what it needs is tested here.
    #[test]
    fn the_page_stands_alone() {
        for foreign in [
            "http://",
            "https://",
            "src=",
            "<link",
            "@import",
            "innerHTML",
            "eval(",
        ] {
            assert!(!PAGE.contains(foreign), "the page has {foreign}");
        }
    }
}
