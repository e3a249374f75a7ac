//! Folders of pretended clips, written once, and what comes of them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use counterpoint_core::{curation, ontology::Ontology, rules::Rules};
use counterpoint_messages::{LabelList, Split};

/// Classes without kinship, and a MID of each.
const CLASSES: [&str; 4] = ["/m/01yrx", "/m/015p6", "/m/0mkg", "/m/0316dw"];

/// A label that names no class.
const NO_CLASS: &str = "/m/09x0r";

/// Good clips of each corpus.
const SIZES: [usize; 3] = [4, 7, 12];

/// Those that every schedule draws from.
pub static CORPORA: LazyLock<Vec<Corpus>> = LazyLock::new(|| SIZES.map(Corpus::write).to_vec());

/// The rules of curation on the whole ontology.
pub static RULEBOOK: LazyLock<Arc<curation::Curator>> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/cli/assets/ontology.json");
    let ontology = Ontology::from_json(&fs::read_to_string(path).unwrap(), path).unwrap();
    Arc::new(curation::Curator::new(&ontology, &Rules::built_in().unwrap()).unwrap())
});

/// A folder of clips and its label lists.
#[derive(Debug, Clone)]
pub struct Corpus {
    folder: PathBuf,
    /// Clips that are accepted where nothing goes wrong.
    pub good: u64,
    /// Clips that a stage turns away.
    pub turned_away: u64,
}

impl Corpus {
    fn write(good: usize) -> Self {
        // The same path each time, as it is part of some ids.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulation-{good}"));
        fs::create_dir_all(folder.join("clips")).unwrap();
        let corpus = Self { folder, good: good as u64, turned_away: 3 };
        let mut lists = [String::new(), String::new()];
        let kinds = std::iter::repeat_n("good", good).chain(["bad", "still", "speech"]);
        for (number, kind) in kinds.enumerate() {
            let video = format!("video{number:06}");
            let label = if kind == "speech" { NO_CLASS } else { CLASSES[number / 2 % CLASSES.len()] };
            lists[number % 2].push_str(&format!("{video},30.000,40.000,\"{label}\"\n"));
            corpus.file(&format!("clips/{video}.mp4"), &format!("{kind} clip {number}"));
        }
        corpus.file("clips/nobody-knows-it.mp4", "good");
        corpus.file("train.csv", &lists[0]);
        corpus.file("eval.csv", &lists[1]);
        let node = |mid: &&str| {
            format!(
                "{{\"id\": \"{mid}\", \"name\": \"{mid}\", \"description\": \"\", \"citation_uri\": \"\", \
                 \"positive_examples\": [], \"child_ids\": [], \"restrictions\": []}}"
            )
        };
        let nodes: Vec<_> = CLASSES.iter().chain([&NO_CLASS]).map(node).collect();
        corpus.file("ontology.json", &format!("[{}]", nodes.join(", ")));
        corpus
    }

    /// Writes a file of the same content and time each time.
    fn file(&self, name: &str, content: &str) {
        let path = self.folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|there| there == content) {
            return;
        }
        let new = path.with_extension(format!("new-{}", std::process::id()));
        fs::write(&new, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::options().append(true).open(&new).unwrap().set_modified(time).unwrap();
        fs::rename(&new, &path).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub fn clips(&self) -> String {
        self.path("clips")
    }

    pub fn ontology(&self) -> String {
        self.path("ontology.json")
    }

    pub fn labels(&self) -> Vec<LabelList> {
        [("train.csv", Split::Train), ("eval.csv", Split::Eval)]
            .map(|(name, split)| LabelList { path: self.path(name), split })
            .to_vec()
    }
}
