//! Nothing of a lab outlives it.

use anyhow::Result;
use guideway_lab::process::wait_for;
use guideway_lab::{Lab, LabOptions, Namespace, remove_leftovers, runnable};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn namespaces(lab: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("{lab}."))).collect()
}

fn running(id: u32) -> bool {
    // A killed child of a process that does not wait for it stays as a zombie.
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

#[test]
fn a_panic_removes_the_lab_and_kills_what_runs_in_it() -> Result<()> {
    if !runnable("cleanup") {
        return Ok(());
    }
    let (mut name, mut folder, mut process) = (String::new(), PathBuf::new(), 0);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let lab = LabOptions::new().backends(1).build().expect("a lab");
        name = lab.name().to_owned();
        folder = lab.folder().to_owned();
        let child = lab.client().spawn("sh", &["-c", "sleep 1000 & sleep 1000"], &folder.join("sleep.log"));
        process = child.expect("a child").id();
        assert_eq!(namespaces(&name).len(), 5);
        // The handle is gone already: the group must be dead while the namespaces still stand.
        assert!(!running(process));
        let other = lab.client().spawn("sleep", &["1000"], &folder.join("other.log")).expect("a child");
        process = other.id();
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert_eq!(namespaces(&name), Vec::<String>::new());
    assert!(!folder.exists() && !running(process));
    Ok(())
}

#[test]
fn the_remains_of_a_killed_run_are_removed_and_a_living_lab_is_not() -> Result<()> {
    if !runnable("leftovers") {
        return Ok(());
    }
    let living = LabOptions::new().backends(1).build()?;
    // What a killed test leaves: namespaces, processes in them, and a lock file that nobody holds.
    let dead = "gwlab-0-0";
    std::fs::write(Path::new("/run/guideway-lab").join(dead), "")?;
    let mut namespace = Namespace::create(&format!("{dead}.client"))?;
    namespace.keep();
    let mut child = namespace.spawn("sleep", &["1000"], &living.folder().join("sleep.log"))?;

    let program = format!("/proc/{}/comm", child.id());
    wait_for("the process to be in the namespace", Duration::from_secs(5), || {
        Ok((std::fs::read_to_string(&program)? == "sleep\n").then_some(()))
    })?;

    // Another test may call this at the same time, so what counts is what is left.
    let removed = remove_leftovers()?;
    assert!(!removed.iter().any(|name| name.starts_with(living.name())), "{removed:?}");
    wait_for("the process to die", Duration::from_secs(5), || child.try_wait())?;
    wait_for("the namespaces to go", Duration::from_secs(5), || Ok(namespaces(dead).is_empty().then_some(())))?;
    assert_eq!(namespaces(living.name()).len(), 5);
    Ok(())
}

#[test]
fn a_kept_lab_stays_until_it_is_removed_by_name() -> Result<()> {
    if !runnable("keep") {
        return Ok(());
    }
    let name = format!("gwkeep-{}", std::process::id());
    let lab = LabOptions::new().backends(1).name(&name).build()?;
    let folder = lab.folder().to_owned();
    lab.keep();
    assert_eq!(namespaces(&name).len(), 5);
    assert!(folder.exists());
    remove_leftovers()?;
    assert_eq!(namespaces(&name).len(), 5, "it has a name of its own");
    assert_eq!(Lab::remove(&name)?.len(), 5);
    assert_eq!(namespaces(&name), Vec::<String>::new());
    assert!(!folder.exists());
    Ok(())
}
