//! Signatures made by OpenSSL with a key that was thrown away, checked by what stands in for the crate's own crypto.

use jsonwebtoken::{Algorithm, DecodingKey, crypto::verify};

use super::install;

const MESSAGE: &[u8] = b"eyJhbGciOiJSUzI1NiJ9.e30";
const MODULUS: &str = concat!(
    "md_HWAW-h-66QxwZS64XmoM9oe07s0m72kiCPOdEP5u_MRN0fLNlD_znsvrvdpo_rOPCNNBYaOmPXXKiZX40QyhL8Q3XbPky_nbm",
    "YjE9Lfi980ytP12WXCYMLtI8MbmYGrLux8InlaOHwMcvO4XY4U84IoqUOa5VPBh1LfbB-VaTwk9MEhEKed4Y1pxbHGxOJ13kaGLh",
    "yI1x5uXGinJj_ZUmtPte419BkYvu9n9UpfpsKBoTbdAG_uiY0nyxLdQVfDBq3vdZEe1yDuxMlHLrHtZp0oavq1q6VehJWM5My7sd",
    "iE4JhligNA_HoLaNeR8GvQqBRzzEwpAWhLMJeqODpQ",
);
const RS256: &str = concat!(
    "S9ylBqC4L4yxny4uBaM1mf85HKq-NULv3KIruEKEsq7hcDdrDbtOKCkum55rpgkg9LmOVRRkNKp_1EjG2J7NPe7tddzqdZRJAuKr",
    "Jc6IK2tBIhWhPR7Xd0qzXqCmmWFDsTxiJeBlCoqxlb2UKKCckEHsUTtXF3ymK3-gCstwzVaJOUGYOxynvzVhL_p-oCgKS42MTQij",
    "UyCEsza7OeJfKXgAbS5HLO5Y9yrQWrTMUJD9TlqDahfaHw9cwqdAmlLWgP0eKmuMXVt1Hf7NrqV-u1fju_HEkGTitHSI-990k96L",
    "o-1wHJSETDjJvhFTV4FGrIo3006csCv9RMTOg-ccnw",
);
const RS384: &str = concat!(
    "kqIbGmTWFAkNzsESYwMw4PGV04b5hjk6Y6QgeUBgPTJ4uUb6qqMWSS28XxyZEeMxL6BNOWAO0xQcvaSjOB2FZ_9mx_g10nwMTyTL",
    "g8CKlykl512qTg4D8fRj3pjMId1JERaNgwGPSr9ZC_q1-3-NqEqjernMZgxbQ51s-TMmTpfMJw41C5qc77AsGMtbfNkj3CuKaJJZ",
    "1NxrFVQlMsqN8P_ztRNeZdGmZgV21fDnXr7EpqotmD0MEOpvYR3JnPjBFbH3u9KTAWED0VPDpcsVRAGb6jMMwkv4XjFtF2MVttyY",
    "ROU_HOg2KehC7SiIrvu5fLaAlpEGa1bfXred1JFgtw",
);
const RS512: &str = concat!(
    "HLGyJ-qVpFBvflBysSvZs_n-HYhzIKy8ra0d1sWKbuCJuy6NZL1kB9dt10UCOp0LEwDlSJXVIuJBzL3cbIx9FA5JcoPit1B86Jyy",
    "huVeGGqDh8m_5nUctuxmh7q3wTIb2XIE4eKz_nkORaIaksvvEkSydg2UapO-AspbSvsQNiv5PEO2p13Fiznv2g7GesOHVfQW91cp",
    "FC0UvdBp6SscBOXnGEJwW044xNsEa0QzMxfgT2FtjFrpOptqW_ywPgeOZ5efaF2PBnJd5usY6OXXwIs9mI9X0bY8wD00-8ERtAw6",
    "rKfe2XCm1B77yQIOWIWaVVMxN3uADg91eEdE6oazcA",
);
const PS256: &str = concat!(
    "SUl56y3Xe_d3oH_goJDtseQuLs4qJ44JK7YtSppexlhOAF8cZ49UBWx5H1k83ZbMm4RbBNxvTF5M1Ha836urlTKLaCh-UvDOyT_1",
    "4B0gmBanf9o-G69qIzQUXSsEpKu_vsPJNSlvyBR7xbr2B5lCJSjYPNL0HpQNJiBeoVuinPRZjL81399z_uS6EBzRWzJeaKJwoRc0",
    "sq2qIR_Crn9savBsKVHJguZdoGMwkxwet_Pda2DTwLx8vPefXGm3g7pNE7-iCTf3D2sM_YWMQqEKYTr7yPbyB9VhEDGBATzo1v_W",
    "G9QrD9eREDE54SqBECNlLDWRW_UMhLb_SmqeB43_Bg",
);
const PS384: &str = concat!(
    "HL2EBsBBIraDO-cug923SI3XtmgpHYyeGD8q0fbY2uHSleGYenvModQc_u2OhPuiQhRNe95nYxQr4Ily3V0Hg0oFE4mcxojRXjvl",
    "NQJRmCDD9RtHNxViy_36Fb9k8D40sW-dach3ct6lCfXVq7h0ZV6SxDH4aMKEe1s-ehXasVFhpfBqk15937L9MxhrYVwy4hXyYvMx",
    "CXEPaQKktOteIlg6HaE7HfXCTGOJioUxZnmap4IfMJr-AYcP3Zgf36_g1Z0dgmYnqpeg7nbfW8qEoiN0G9RwGuPcfi0X64VR4X8y",
    "URVfQDXjaWg4wmfZGI75_1-R2-VIACcU0kBO81EJRg",
);
const PS512: &str = concat!(
    "GEwRHTDK94BhNtwe26ZG7fzGHU0XdRzbvNUC8m7SYHAaX7DK_hOmD8cPzYiXOdGWyRQw4BnQa2wyLkpHnFVTwOfZBEj2uxZIwphP",
    "jLuZI6sOwVn7KqY4bAN4cGFaiQ8Zp4OARetBxCg9K4CNorBif4CFgoTyiEzFAMQDOlSkc_AUE6x5R4yB3HgQgyVTDVMVADGhJDSo",
    "czrKxPR-iFYL8kvKIx4CyPKBiz_vIedGF7mIN9A16CkkfBy_2jRS76PATIqUPncLBIj152TfDSQlmIPnepwqSq_Anb8LT_sUqLmL",
    "KAqY_-KxPaJeoovNn2X0h1gNaD4OSC9Lq_JLOcaAug",
);

const VECTORS: [(Algorithm, &str); 6] = [
    (Algorithm::RS256, RS256),
    (Algorithm::RS384, RS384),
    (Algorithm::RS512, RS512),
    (Algorithm::PS256, PS256),
    (Algorithm::PS384, PS384),
    (Algorithm::PS512, PS512),
];

fn key() -> DecodingKey {
    install();
    DecodingKey::from_rsa_components(MODULUS, "AQAB").unwrap()
}

#[test]
fn rsa_signatures_of_every_kind_are_checked_by_their_own_algorithm() {
    for (algorithm, signature) in VECTORS {
        for (other, _) in VECTORS {
            let genuine = verify(signature, MESSAGE, &key(), other).unwrap();
            assert_eq!(genuine, algorithm == other, "{algorithm:?} as {other:?}");
        }
        assert!(!verify(signature, b"another message", &key(), algorithm).unwrap());
    }
}

#[test]
fn a_key_of_another_family_checks_nothing() {
    let secret = DecodingKey::from_secret(MODULUS.as_bytes());
    install();
    assert!(verify(RS256, MESSAGE, &secret, Algorithm::RS256).is_err());
    assert!(verify(RS256, MESSAGE, &key(), Algorithm::HS256).is_err());
    assert!(verify(RS256, MESSAGE, &key(), Algorithm::ES256).is_err());
}
