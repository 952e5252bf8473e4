//! The body of every answer that is not the one asked for.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{"detail": …}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub detail: Detail,
}

/// A sentence, or the fields of the request that are wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// A sentence.
    Sentence(String),
    /// Fields with what is wrong about each.
    Fields(Vec<FieldProblem>),
}

/// A field of the request that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Where it stands: `body`, `path` or `query`, then names and indices.
    pub loc: Vec<Value>,
    /// What is wrong.
    pub msg: String,
    /// Which kind of mistake, for programs.
    #[serde(rename = "type", default)]
    pub kind: String,
}

impl ErrorBody {
    /// Reads an error's body; none if it is not one of ours, but a proxy's page or a stranger's
    /// answer.
    pub fn read(body: &[u8]) -> Option<Self> {
        let read: Self = serde_json::from_slice(body).ok()?;
        (!read.sentence().is_empty()).then_some(read)
    }

    /// What is wrong, in one sentence for people.
    pub fn sentence(&self) -> String {
        match &self.detail {
            Detail::Sentence(sentence) => sentence.clone(),
            Detail::Fields(fields) => {
                let sentences: Vec<_> = fields.iter().map(FieldProblem::sentence).collect();
                sentences.join("; ")
            }
        }
    }
}

impl FieldProblem {
    /// `camera_token.nonce: expected 24 hexadecimal characters`
    fn sentence(&self) -> String {
        let step = |step: &Value| match step {
            Value::String(name) => name.clone(),
            index => index.to_string(),
        };
        // That it stands in the body goes without saying.
        let path = self.loc.iter().map(step);
        let path: Vec<_> = path.skip_while(|step| step == "body").collect();
        match path.is_empty() {
            true => self.msg.clone(),
            false => format!("{}: {}", path.join("."), self.msg),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sentence(body: &Value) -> Option<String> {
        ErrorBody::read(body.to_string().as_bytes()).map(|error| error.sentence())
    }

    #[test]
    fn both_forms_become_a_sentence() {
        assert_eq!(sentence(&json!({"detail": "no"})).as_deref(), Some("no"));
        let fields = json!({"detail": [
            {"loc": ["body", "images", 2, "role"], "msg": "unknown role", "type": "value_error"},
            {"loc": ["query", "limit"], "msg": "expected 1 to 500"},
            {"loc": ["body"], "msg": "not JSON"},
        ]});
        assert_eq!(
            sentence(&fields).as_deref(),
            Some("images.2.role: unknown role; query.limit: expected 1 to 500; not JSON")
        );
    }

    #[test]
    fn what_is_no_error_of_ours_has_no_sentence() {
        for other in [
            json!({}),
            json!([]),
            json!({"detail": ""}),
            json!({"detail": []}),
            json!({"detail": {"code": 7}}),
            json!({"detail": [7]}),
        ] {
            assert_eq!(sentence(&other), None, "{other}");
        }
        assert_eq!(ErrorBody::read(b"<html>Bad Gateway</html>"), None);
    }
}
