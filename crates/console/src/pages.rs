//! What the server answers.
//!
//! **Invariants.** Every answer ends its connection, is not to be stored, and is of the type that it says. A report that cannot be made is
//! an answer too.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::metrics;
use crate::report::{Phase, Report};
use crate::request;
use crate::server::MakeReport;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What the pages know.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) report: MakeReport,
    pub(crate) bound: SocketAddr,
}

/// All pages.
pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/status", get(status))
        .route("/metrics", get(show_metrics))
        .fallback(nothing)
        .layer(from_fn_with_state(shared.clone(), checked))
        .with_state(shared)
}

/// Refuses what is not for us, and says of every answer what holds for all.
async fn checked(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let checked = request::check(
        request.method(),
        request.uri(),
        request.headers(),
        shared.bound,
    );
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            let mut response = page(refused.status, TEXT, refused.text);
            for (name, value) in refused.headers {
                let value = HeaderValue::from_static(value);
                response.headers_mut().insert(name, value);
            }
            response
        }
    };
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether messages are processed right now.
async fn health(State(shared): State<Shared>) -> Response {
    with_report(&shared, |report| {
        let code = match report.phase {
            Phase::Running => StatusCode::OK,
            Phase::Starting | Phase::Paused { .. } | Phase::Ending => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        page(code, JSON, json(&report.phase))
    })
}

async fn status(State(shared): State<Shared>) -> Response {
    with_report(&shared, |report| page(StatusCode::OK, JSON, json(report)))
}

async fn show_metrics(State(shared): State<Shared>) -> Response {
    with_report(&shared, |report| {
        page(
            StatusCode::OK,
            metrics::CONTENT_TYPE,
            metrics::text_of(report),
        )
    })
}

async fn nothing() -> Response {
    let text = "there is no such page; there are /health, /status and /metrics\n";
    page(StatusCode::NOT_FOUND, TEXT, text.to_owned())
}

fn with_report(shared: &Shared, answer: impl FnOnce(&Report) -> Response) -> Response {
    let report = Arc::clone(&shared.report);
    match catch_unwind(AssertUnwindSafe(|| report())) {
        Ok(report) => answer(&report),
        Err(_) => {
            let text = "the report cannot be made: a function of the application panicked\n";
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, text.to_owned())
        }
    }
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Response {
    (status, [(CONTENT_TYPE, content_type)], text).into_response()
}

fn json(value: &impl Serialize) -> String {
    let mut json = serde_json::to_string(value).expect("all keys are text");
    json.push('\n');
    json
}
