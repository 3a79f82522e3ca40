//! From cert-manager's Certificates to what is kept of them (pure).

use crate::{
    observed::CertificateView,
    plan::certificate::{Certificate, CertificateCondition},
};

/// What cert-manager says of a Certificate.
pub(crate) fn view(certificate: &Certificate) -> CertificateView {
    let newest = |condition: &&CertificateCondition| {
        condition.observed_generation.is_none_or(|generation| Some(generation) >= certificate.metadata.generation)
    };
    let conditions = certificate.status.iter().flat_map(|status| &status.conditions).filter(newest);
    let find = |type_: &str| conditions.clone().find(|condition| condition.type_ == type_);
    let (ready, issuing) = (find("Ready"), find("Issuing"));
    // It is left there as false, with the words of what failed, until it is tried again.
    let failed = issuing.filter(|issuing| issuing.status == "False" && issuing.reason == "Failed");
    let words = failed.or(ready).map(|condition| match condition.message.as_str() {
        "" => condition.reason.clone(),
        message => message.to_owned(),
    });
    CertificateView {
        ready: ready.is_some_and(|ready| ready.status == "True"),
        failed: failed.is_some(),
        message: words.unwrap_or_else(|| "cert-manager has said nothing of it yet; see that it runs".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn seen(conditions: &Value) -> CertificateView {
        let live = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "c"}, "spec":
            {"secretName": "c", "dnsNames": [], "issuerRef": {"name": "ca"}, "privateKey": {"algorithm": "", "rotationPolicy": ""},
             "usages": []}, "status": {"conditions": conditions}});
        view(&serde_json::from_value(live).unwrap())
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": format!("{type_} {reason}")})
    }

    #[test]
    fn a_certificate_is_pending_until_it_is_ready_and_failed_until_it_is_tried_again() {
        let pending =
            seen(&json!([condition("Ready", "False", "DoesNotExist"), condition("Issuing", "True", "DoesNotExist")]));
        assert_eq!((pending.ready, pending.failed, &*pending.message), (false, false, "Ready DoesNotExist"));
        let failed =
            seen(&json!([condition("Ready", "False", "DoesNotExist"), condition("Issuing", "False", "Failed")]));
        assert_eq!((failed.ready, failed.failed, &*failed.message), (false, true, "Issuing Failed"));
        assert!(seen(&json!([condition("Ready", "True", "Ready")])).ready);
        assert!(seen(&json!([])).message.contains("said nothing"));
    }
}
