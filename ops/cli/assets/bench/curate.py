"""Segment lists to classes as one would write it in an afternoon: csv, dictionaries, a row at a time.

Arguments: what `counterpoint classes --json` prints, the ontology, the output, the lists.
"""

import csv
import json
import sys

classes_file, ontology_file, out_file, *lists = sys.argv[1:]
with open(classes_file) as file:
    listed = json.load(file)["classes"]
with open(ontology_file) as file:
    nodes = json.load(file)
class_of = {mid: entry["name"] for entry in listed for mid in entry["mids"]}
parents = {node["id"]: set() for node in nodes}
for node in nodes:
    for child in node["child_ids"]:
        parents.setdefault(child, set()).add(node["id"])


def above(mid):
    found, rest = set(), [mid]
    while rest:
        for parent in parents[rest.pop()]:
            if parent not in found:
                found.add(parent)
                rest.append(parent)
    return found


ancestors = {mid: above(mid) for mid in parents}

with open(out_file, "w", newline="") as out:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["youtube_id", "class", "start_seconds"])
    for name in lists:
        with open(name, newline="") as file:
            for row in csv.reader(file, skipinitialspace=True):
                if row[0].startswith("#"):
                    continue
                known = {label for label in row[3].split(",") if label in ancestors}
                covered = set().union(*(ancestors[label] for label in known))
                found = {class_of.get(label) for label in known - covered}
                if len(found) == 1 and None not in found:
                    writer.writerow([row[0], found.pop(), float(row[1])])
