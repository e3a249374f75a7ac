//! `classes`: what the ontology is pruned to, and why.

use std::process::ExitCode;

use serde::Serialize;

use crate::{
    args::{self, Common},
    context::Classification,
    output::{Failure, Outcome, print, print_json},
};

#[derive(Serialize)]
struct Listed<'a> {
    classes: Vec<ListedClass<'a>>,
    excluded: Vec<ListedNode<'a>>,
}

#[derive(Serialize)]
struct ListedClass<'a> {
    name: &'a str,
    mids: &'a [String],
}

#[derive(Serialize)]
struct ListedNode<'a> {
    mid: &'a str,
    name: &'a str,
    reason: String,
}

#[derive(Serialize)]
struct Explained<'a> {
    name: &'a str,
    mid: Option<&'a str>,
    class: Option<&'a str>,
    paragraphs: &'a [String],
}

pub fn run(arguments: &args::Classes, common: &Common) -> Outcome {
    let classification = Classification::read(&arguments.ontology, arguments.rules.as_deref())?;
    let rulebook = &classification.rulebook;
    if let Some(name) = &arguments.explain {
        let explanation = rulebook.explain(name).map_err(|unknown| Failure::usage(unknown.to_string()))?;
        if common.json {
            print_json(&Explained {
                name: &explanation.name,
                mid: explanation.mid.as_deref(),
                class: explanation.class.as_deref(),
                paragraphs: &explanation.paragraphs,
            })?;
        } else {
            print(&explanation.to_string());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let classes = rulebook.classes().iter().map(|class| ListedClass { name: &class.name, mids: &class.mids });
    let excluded = rulebook.excluded().iter().map(|node| ListedNode {
        mid: &node.mid,
        name: &node.name,
        reason: node.reason.to_string(),
    });
    let listed = Listed { classes: classes.collect(), excluded: excluded.collect() };
    if common.json {
        print_json(&listed)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("{} classes:", listed.classes.len()));
    for class in &listed.classes {
        print(&format!("  {:26} {}", class.name, class.mids.join(" ")));
    }
    print(&format!("\n{} nodes left out:", listed.excluded.len()));
    for node in &listed.excluded {
        print(&format!("  {:26} {}", node.name, node.reason));
    }
    print("\n`counterpoint classes --explain NAME` tells more of one node");
    Ok(ExitCode::SUCCESS)
}
