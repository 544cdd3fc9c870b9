//! The index is believed only where it was checked: whatever happens to its files, what is
//! found is right, or the search says that it is not whole.

use crate::{SMALL, append, catch_up, open_log, search};
use indelible_index::{LogIndex, Order, SearchError, count, facet, histogram};
use indelible_log::Log;
use indelible_query::{Field, Query, parse};
use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

const DAY: i64 = 86_400_000_000;

fn events(count: usize) -> Vec<String> {
    let event = |n: usize| {
        let (actor, day) = (["ada", "bob", "eve"][n % 3], 1 + n % 9);
        format!(
            r#"{{"time":"2026-03-0{day}T12:00:00Z","action":"a.b","actor":{{"type":"user","id":"{actor}"}},"outcome":{{"result":"success"}},"metadata":{{"n":{n}}}}}"#
        )
    };
    (0..count).map(event).collect()
}

/// All that is asked, as text; or that it is not whole.
fn ask(index: &LogIndex) -> Result<String, SearchError> {
    let mut out = String::new();
    for text in ["actor:eve", "n:7 OR 7", "during:2026-03-05", "actor:a*", ""] {
        let Ok(query) = parse(text, 0) else { continue };
        let hits = index.search(&query, Order::OldestFirst, None, 1000)?;
        let newest = index.search(&query, Order::NewestFirst, None, 1000)?;
        let counted = count(&[(index, &query)])?;
        let facet = facet(&[(index, &query)], Field::Actor, 10)?;
        let histogram = histogram(&[(index, &query)], DAY, Some((Field::Actor, 3)))?;
        out.push_str(&format!("{text} {hits:?} {newest:?} {counted} {facet:?} {histogram:?}\n"));
    }
    Ok(out)
}

fn files(place: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all.sort();
    all
}

fn flip(path: &Path, at: u64) {
    let mut mode = fs::metadata(path).unwrap().permissions();
    mode.set_mode(0o600);
    fs::set_permissions(path, mode).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x11], at).unwrap();
}

fn made(folder: &Path, records: usize) -> (Arc<Log>, PathBuf, String) {
    let log = open_log(&folder.join("data"));
    append(&log, &events(records));
    let place = folder.join("index");
    let index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
    catch_up(&index);
    let right = ask(&index).unwrap();
    (log, place, right)
}

#[test]
fn every_altered_file_is_noticed_before_an_answer_rests_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, place, right) = made(folder.path(), 70);
    for running in [false, true] {
        let mut altered = 0;
        for file in files(&place) {
            let Ok(len) = fs::metadata(&file).map(|facts| facts.len()) else { continue };
            for at in (0..len).step_by(usize::try_from(len / 4 + 1).unwrap()) {
                if !file.exists() {
                    // The piece was built again under another name.
                    continue;
                }
                let mut index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
                catch_up(&index);
                // What an earlier round altered where nothing was read is noticed now.
                drop(ask(&index));
                catch_up(&index);
                assert_eq!(ask(&index).unwrap(), right);
                if !running {
                    drop(index);
                    flip(&file, at);
                    index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
                } else {
                    flip(&file, at);
                }
                altered += 1;
                let name = format!("{} at {at}, running: {running}", file.display());
                // Right, or it says so; and not for long.
                for _ in 0..8 {
                    match ask(&index) {
                        Ok(found) if *index.indexed().borrow() == log.head().size => {
                            assert_eq!(found, right, "{name}");
                        }
                        Ok(_) | Err(SearchError::Altered { .. }) => {}
                        Err(other) => unreachable!("{name}: {other}"),
                    }
                }
                catch_up(&index);
                for _ in 0..2 {
                    drop(ask(&index));
                    catch_up(&index);
                }
                assert_eq!(ask(&index).unwrap(), right, "{name}");
            }
        }
        assert!(altered > 20, "{altered}");
    }
}

#[test]
fn counts_that_were_kept_are_not_believed_when_they_were_edited() {
    let folder = tempfile::tempdir().unwrap();
    let (log, place, right) = made(folder.path(), 64);
    let rollup = place.join("000000000000-000000000064/rollup.json");
    let text = fs::read_to_string(&rollup).unwrap();
    fs::write(&rollup, text.replace("\"eve\":21", "\"eve\":20")).unwrap();
    assert_ne!(fs::read_to_string(&rollup).unwrap(), text);
    let index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
    assert!(matches!(
        facet(&[(&index, &Query::all())], Field::Actor, 10),
        Err(SearchError::Altered { from: 0, to: 63 })
    ));
    assert_eq!(*index.indexed().borrow(), 0, "and says how far it searches");
    catch_up(&index);
    assert_eq!(ask(&index).unwrap(), right);
}

#[test]
fn one_bad_piece_costs_none_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, place, right) = made(folder.path(), 200);
    let born = |piece: &str| fs::metadata(place.join(piece)).unwrap().modified().unwrap();
    let second = born("000000000064-000000000128");
    fs::write(place.join("000000000000-000000000064/piece.json"), "{}").unwrap();
    let index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
    assert_eq!(*index.indexed().borrow(), 0, "what is searched has no holes");
    catch_up(&index);
    assert_eq!(ask(&index).unwrap(), right);
    assert_eq!(born("000000000064-000000000128"), second, "it was not built again");
}

#[test]
fn a_piece_of_another_key_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, place, right) = made(folder.path(), 70);
    // Sealed by somebody who holds another key: the seal of the same log elsewhere.
    let piece = place.join("000000000000-000000000064/piece.json");
    let text = fs::read_to_string(&piece).unwrap();
    let mac = text.rfind("\"mac\":\"").unwrap() + 7;
    let other = if text.as_bytes()[mac] == b'0' { "1" } else { "0" };
    fs::write(&piece, format!("{}{other}{}", &text[..mac], &text[mac + 1..])).unwrap();
    let index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
    assert_eq!(*index.indexed().borrow(), 0);
    catch_up(&index);
    assert_eq!(ask(&index).unwrap(), right);
}

#[test]
fn a_record_that_cannot_be_read_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder.path().join("data"));
    let mut sent = events(10);
    // Longer than a record: it stands beside the log.
    sent[4] = sent[4].replace("\"n\":4", &format!("\"n\":4,\"text\":\"{}\"", "x".repeat(70_000)));
    append(&log, &sent);
    let attachments: Vec<PathBuf> = files(&folder.path().join("data"))
        .into_iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "attachments"))
        .collect();
    assert_eq!(attachments.len(), 1, "{attachments:?}");
    let kept = fs::read(&attachments[0]).unwrap();
    fs::remove_file(&attachments[0]).unwrap();
    let index = LogIndex::open(Arc::clone(&log), &folder.path().join("index"), SMALL).unwrap();
    catch_up(&index);
    assert_eq!(*index.indexed().borrow(), 10);
    let find = |text: &str| search(&index, &parse(text, 0).unwrap(), Order::OldestFirst, 100);
    assert_eq!(find("by:token:abc"), (0..10).collect::<Vec<_>>(), "by its envelope");
    assert_eq!(find("actor:bob"), [1, 7]);
    assert_eq!(find("data.metadata.n:>=0"), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    // Once it can be read again it is found, though the index says less of it than it says.
    fs::write(&attachments[0], kept).unwrap();
    assert_eq!(find("data.metadata.n:>=0"), (0..10).collect::<Vec<_>>());
    let mut right = Vec::new();
    index.compare(|piece| right.push((piece.records.contains(&4), piece.is_right))).unwrap();
    assert!(right.iter().all(|(has_it, is_right)| has_it != is_right), "{right:?}");
}

#[test]
fn the_index_is_compared_with_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let (log, place, _) = made(folder.path(), 150);
    let index = LogIndex::open(Arc::clone(&log), &place, SMALL).unwrap();
    let (mut compared, mut covered) = (0, 0);
    index
        .compare(|piece| {
            assert!(piece.is_right, "{piece:?}");
            compared += 1;
            covered += piece.records.end - piece.records.start;
        })
        .unwrap();
    assert!(compared > 2);
    assert_eq!(covered, 150);
}
