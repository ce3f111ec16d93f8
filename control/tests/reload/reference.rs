//! A reload does of each key what the reference of the configuration says.

use crate::file::{plan, state};
use guideway_config::model::Config;
use guideway_config::parse;
use guideway_config::reference::{CHAPTERS, Reload, file_with};
use guideway_config::schema::{BACKEND, FILE};
use guideway_control::reload::Remedy;

fn config(file: &str) -> Option<Config> {
    parse(file, None).ok().map(|parsed| parsed.config)
}

#[test]
fn each_key_is_reloaded_as_the_reference_says() {
    let whole = config(&file_with(&FILE, "", &[]).expect("TOML")).expect("a good file");
    let mut compared = 0;
    for (section, entries) in CHAPTERS.iter().filter(|(section, _)| section.title != FILE.title) {
        for entry in *entries {
            let file = |keys: &str| config(&file_with(section, keys, &[]).expect("TOML"));
            // A port of a backend stands in a pool of another mode than others: compare it with another port.
            let is_backends_port = section.title == BACKEND.title && entry.name == "port";
            let beside = if is_backends_port { "port = 8081".to_owned() } else { entry.beside() };
            let old = file(&beside).unwrap_or_else(|| whole.clone());
            let new = file(entry.example).expect(entry.example);
            if new == old {
                continue;
            }
            compared += 1;
            let refusals = plan(&state(old), &new, false).err().unwrap_or_default();
            let said: Vec<Remedy> = refusals.iter().map(|refusal| refusal.remedy).collect();
            let at = format!("{} {}: {:?}: {refusals:?}", section.title, entry.example, entry.reload);
            match entry.reload {
                Reload::Yes | Reload::Another => assert!(refusals.is_empty(), "{at}"),
                Reload::Disruptive => assert_eq!(said, [Remedy::Disruptive], "{at}"),
                Reload::Restart => assert!(said.contains(&Remedy::Restart), "{at}"),
            }
        }
    }
    assert!(compared > 90, "only {compared} examples differ from the file that they stand in");
}
