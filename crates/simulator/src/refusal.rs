//! An answer that is not data, in the form in which OpenAI writes its errors:
//! `{"error": {"message", "type", "param", "code"}}`.

use serde_json::{Value, json};

/// Why a request is not answered with data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
    /// In the form of the other host's validation errors.
    detail: Option<Value>,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), param: None, code: None, detail: None }
    }

    fn about(mut self, param: &str) -> Refusal {
        self.param = Some(param.to_owned());
        self
    }

    fn coded(mut self, code: &'static str) -> Refusal {
        self.code = Some(code);
        self
    }

    /// 400: a parameter's value cannot be used.
    pub(super) fn invalid(param: &str, message: impl Into<String>) -> Refusal {
        Refusal::new(400, message).about(param)
    }

    pub(super) fn missing(param: &str) -> Refusal {
        let message = format!("Missing required parameter: '{param}'.");
        Refusal::new(400, message).about(param).coded("missing_required_parameter")
    }

    pub(super) fn unknown_parameter(param: &str) -> Refusal {
        Refusal::new(400, format!("Unknown parameter: '{param}'.")).about(param).coded("unknown_parameter")
    }

    pub(super) fn lookback(days: u32, earliest: i64) -> Refusal {
        let message = format!(
            "The requested start_time exceeds the reporting lookback of {days} days. \
             The earliest start_time is {earliest}."
        );
        Refusal::new(400, message).about("start_time").coded("reporting_lookback_exceeded")
    }

    pub(super) fn unauthenticated() -> Refusal {
        Refusal::new(
            401,
            "You didn't provide an API key. Provide it in an Authorization header using \
             Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    }

    /// The key is shown as the API shows it: never whole.
    pub(super) fn wrong_key(key: &str) -> Refusal {
        let shown: String = key.chars().take(8).collect();
        Refusal::new(401, format!("Incorrect API key provided: {shown}***.")).coded("invalid_api_key")
    }

    pub(super) fn missing_scope(scope: &str) -> Refusal {
        let message = format!("You have insufficient permissions for this operation. Missing scopes: {scope}.");
        Refusal::new(403, message).coded("insufficient_permissions")
    }

    /// 410: what was served here is no longer.
    pub(super) fn gone(message: impl Into<String>) -> Refusal {
        Refusal::new(410, message).coded("gone")
    }

    pub(super) fn without_beta(header: &str) -> Refusal {
        let message = format!("You must provide the 'OpenAI-Beta' header with '{header}' to access this endpoint.");
        Refusal::new(400, message).coded("invalid_beta")
    }

    /// 422, as FastAPI writes it: where the value stands and what is wrong with it.
    pub(super) fn unprocessable(place: &str, name: &str, message: impl Into<String>) -> Refusal {
        let message = message.into();
        let detail = json!([{"loc": [place, name], "msg": message, "type": "value_error"}]);
        Refusal { detail: Some(detail), ..Refusal::new(422, message) }
    }

    /// The other host validates parameters by 422.
    pub(super) fn of_the_other_host(self) -> Refusal {
        let validated = self.param.as_deref() == Some("limit") || self.code == Some("unknown_parameter");
        match self.param.clone().filter(|_| self.status == 400 && validated) {
            Some(param) => Refusal::unprocessable("query", &param, self.message),
            None => self,
        }
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Refusal {
        Refusal::new(403, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(404, message).coded("not_found")
    }

    pub(super) fn unknown_path(method: &str, path: &str) -> Refusal {
        Refusal::new(404, format!("Invalid URL ({method} {path})")).coded("unknown_url")
    }

    pub(super) fn wrong_method(method: &str) -> Refusal {
        let message = format!("Not allowed to {method} here: the simulation is read only.");
        Refusal::new(405, message).coded("method_not_supported")
    }

    pub(super) fn too_fast(limit: u32) -> Refusal {
        let message = format!("Rate limit reached for requests: limit {limit} / s. Please try again later.");
        Refusal::new(429, message).coded("rate_limit_exceeded")
    }

    pub(super) fn body(&self) -> String {
        if let Some(detail) = &self.detail {
            return json!({"detail": detail}).to_string();
        }
        let kind = match self.status {
            404 | 400 | 401 | 403 | 405 | 410 => "invalid_request_error",
            429 => "requests",
            _ => "server_error",
        };
        json!({"error": {
            "message": self.message, "type": kind, "param": self.param, "code": self.code,
        }})
        .to_string()
    }
}
