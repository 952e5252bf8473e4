//! Calls whose parameters do not fit: answered with an error that names the parameter, where the
//! server of `zlink` alone would end the connection without a word.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use serde::de::value::MapDeserializer;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use zlink::Call;

/// A call as the service takes it, or one it does not understand.
#[derive(Debug)]
pub(super) enum Understood<M> {
    Call(Fitting<M>),
    Malformed(Malformed),
}

/// A call that fits, before and after its flags are known: they stand beside it in the message and
/// are read last.
#[derive(Debug)]
pub(super) struct Fitting<M> {
    method: RefCell<Option<M>>,
    call: OnceCell<Call<M>>,
}

impl<M> Fitting<M> {
    fn new(method: M) -> Self {
        Self {
            method: RefCell::new(Some(method)),
            call: OnceCell::new(),
        }
    }

    /// The call as the service takes it, with the flags of the message.
    pub(super) fn with_flags_of<T>(&self, message: &Call<T>) -> Option<&Call<M>> {
        if let Some(method) = self.method.take() {
            let call = Call::new(method)
                .set_more(message.more())
                .set_oneway(message.oneway())
                .set_upgrade(message.upgrade());
            return Some(self.call.get_or_init(|| call));
        }
        self.call.get()
    }
}

/// A call with parameters that do not fit its method.
#[derive(Debug)]
pub(super) struct Malformed {
    method: String,
    parameters: Option<String>,
}

#[derive(Deserialize)]
struct Parts<'m> {
    #[serde(borrow)]
    method: &'m RawValue,
    #[serde(borrow)]
    parameters: Option<&'m RawValue>,
}

impl<'m> Parts<'m> {
    fn understand<M: Deserialize<'m>>(&self) -> serde_json::Result<M> {
        let method = Some(("method", self.method));
        let parameters = self.parameters.map(|parameters| ("parameters", parameters));
        M::deserialize(MapDeserializer::new(method.into_iter().chain(parameters)))
    }
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for Understood<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(deserializer)?;
        Ok(match parts.understand() {
            Ok(method) => Self::Call(Fitting::new(method)),
            Err(_) => Self::Malformed(Malformed {
                method: parts.method.get().to_owned(),
                parameters: parts.parameters.map(|given| given.get().to_owned()),
            }),
        })
    }
}

/// One value of each kind JSON knows.
const KINDS: [&str; 6] = ["null", "true", "0", "\"\"", "[]", "{}"];

impl Malformed {
    /// The parameter that does not fit: the one whose replacement by a value of another kind makes
    /// the call fit.
    pub(super) fn culprit(&self, fits: impl Fn(&str) -> bool) -> String {
        let given = self.parameters.as_deref().unwrap_or("{}");
        #[expect(
            clippy::disallowed_methods,
            reason = "what is no object has no culprit by name"
        )]
        let given: BTreeMap<String, &RawValue> = serde_json::from_str(given).unwrap_or_default();
        let culprit = given.keys().find(|name| {
            KINDS
                .iter()
                .any(|kind| self.with(&given, name, kind).is_ok_and(|call| fits(&call)))
        });
        culprit.map_or("parameters", String::as_str).to_owned()
    }

    fn with(
        &self,
        given: &BTreeMap<String, &RawValue>,
        name: &str,
        value: &str,
    ) -> serde_json::Result<String> {
        let value: &RawValue = serde_json::from_str(value)?;
        let mut changed = given.clone();
        changed.insert(name.to_owned(), value);
        let parameters = serde_json::to_string(&changed)?;
        Ok(format!(
            "{{\"method\":{},\"parameters\":{parameters}}}",
            self.method
        ))
    }
}
