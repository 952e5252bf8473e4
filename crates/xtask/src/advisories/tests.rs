use super::*;

const PAGE: &str = r#"```toml
[advisory]
id = "RUSTSEC-2099-0001"
package = "leaky"
date = "2099-01-01"
url = "https://example.org"

[versions]
patched = [">= 1.2.0"]
unaffected = ["< 1.0.0"]
```

# It leaks
"#;

/// A tree with nothing but what is looked at.
fn tree(extract: &str, lock: &str, deny: &str) -> (tempfile::TempDir, House, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir_all(at.join("crates/xtask")).unwrap();
    std::fs::write(at.join(EXTRACT), extract).unwrap();
    std::fs::write(at.join("Cargo.lock"), lock).unwrap();
    std::fs::write(at.join("deny.toml"), deny).unwrap();
    let (house, lock) = (House::at(at.to_owned()), at.join("Cargo.lock"));
    (folder, house, lock)
}

fn lock(version: &str) -> String {
    format!(
        "[[package]]\nname = \"leaky\"\nversion = \"{version}\"\nsource = \"registry\"\n\
         [[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n"
    )
}

#[test]
fn what_is_extracted_finds_what_the_list_would_find() {
    let found = read_page(PAGE).unwrap().unwrap();
    let extract = written("2099-02-01", "c0ffee", &[found]);
    for (version, hits) in [("0.9.0", 0), ("1.0.0", 1), ("1.1.9", 1), ("1.2.0", 0)] {
        let (_folder, house, lock) = tree(&extract, &lock(version), "");
        let (day, found) = look(&house, &[lock]).unwrap();
        assert_eq!(
            (day.as_str(), found.len()),
            ("2099-02-01", hits),
            "{version}"
        );
        for hit in found {
            let said = hit.to_string();
            assert!(
                said.contains("leaky 1.") && said.ends_with("/RUSTSEC-2099-0001"),
                "{said}"
            );
        }
    }
    let let_pass =
        "[advisories]\nignore = [{ id = \"RUSTSEC-2099-0001\", reason = \"it never runs\" }]";
    let (_folder, house, lock) = tree(&extract, &lock("1.0.0"), let_pass);
    assert!(look(&house, &[lock]).unwrap().1.is_empty());
}

#[test]
fn what_was_taken_back_is_left_out_and_what_is_adapted_is_marked() {
    let withdrawn = PAGE.replace("url =", "withdrawn = \"2099-03-01\"\nurl =");
    assert_eq!(read_page(&withdrawn).unwrap(), None);
    let adapted = PAGE.replace(
        "url =",
        "license = \"CC-BY-4.0\"\ninformational = \"unsound\"\nurl =",
    );
    let adapted = read_page(&adapted).unwrap().unwrap();
    let text = written("2099-02-01", "c0ffee", std::slice::from_ref(&adapted));
    assert!(text.ends_with("unsound\t>=1.2.0 | <1.0.0 *\n"), "{text}");
    assert_eq!(read_extract(&text).unwrap(), ("2099-02-01", vec![adapted]));
}

#[test]
fn an_extract_that_is_empty_or_without_a_day_is_an_error() {
    for text in [
        "",
        "# RustSec advisories as of 2099-01-01\n",
        "a\tRUSTSEC-1\tunsound\t\n",
        "a b\n",
    ] {
        assert!(read_extract(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_extract_of_this_tree_is_whole() {
    let house = House::find().unwrap();
    let text = std::fs::read_to_string(house.path(EXTRACT)).unwrap();
    let (day, advisories) = read_extract(&text).unwrap();
    assert!(day.len() == 10 && day.starts_with("20"), "{day}");
    assert!(advisories.len() > 1_000);
    let locks = [house.path("Cargo.lock")];
    let (_, hits) = look(&house, &locks).unwrap();
    let said: Vec<_> = hits.iter().map(ToString::to_string).collect();
    assert!(said.is_empty(), "{said:#?}");
}
