//! The policy file (c2sp.org/tlog-policy): by which keys, and how many of them, other software
//! accepts a checkpoint of this registry.

use crate::label::ChainId;
use crate::validators::ValidatorSet;
use crate::witness::VerifierKey;

impl ValidatorSet {
    /// The policy file (c2sp.org/tlog-policy) by which other software accepts this registry's
    /// checkpoints: any validator's line as the log, and cosignatures of more than two thirds of
    /// them.
    ///
    /// Witnesses outside of it are named, each with its address, and not asked for: nobody waits
    /// for them, so a checkpoint without their lines is as good. A reader who wants one of them as
    /// well names both groups in the quorum.
    pub fn tlog_policy<'a>(
        &self,
        origin: &ChainId,
        witnesses: impl IntoIterator<Item = (&'a VerifierKey, &'a str)>,
    ) -> String {
        let mut policy = format!("# The registry {origin}\n");
        for validator in self.validators() {
            policy.push_str(&format!("log {}\n", validator.log_verifier_key(origin)));
        }
        let mut names = String::new();
        for validator in self.validators() {
            let name = &validator.name;
            policy.push_str(&format!("witness {name} {}\n", validator.verifier_key()));
            names.push_str(&format!(" {name}"));
        }
        policy.push_str(&format!("group validators {}{names}\n", self.quorum()));
        let mut outside = String::new();
        for (key, url) in witnesses {
            // A key's name has no plus sign: no validator is called so.
            let name = format!("outside+{}", key.name());
            policy.push_str(&format!("witness {name} {key} {url}\n"));
            outside.push_str(&format!(" {name}"));
        }
        if !outside.is_empty() {
            policy.push_str(&format!("group witnesses 1{outside}\n"));
            policy.push_str("# To ask for one of these as well, the quorum is \"both\".\n");
            policy.push_str("group both 2 validators witnesses\n");
        }
        policy.push_str("quorum validators\n");
        policy
    }
}
