"""Answers what Alembic would do, one JSON line for each history on standard input.

Everything happens in memory: Alembic's own RevisionMap, planning of ScriptDirectory, and HeadMaintainer on a real
version table in SQLite. Only the files are replaced: a script is a revision with an empty body, and the script directory
is given its map.
"""

import json
import sys
import types
import warnings

import sqlalchemy
from alembic import util
from alembic.runtime.migration import HeadMaintainer, MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import Revision, RevisionMap


class MemoryScript(Revision):
    doc = ""
    module = types.SimpleNamespace(upgrade=lambda: None, downgrade=lambda: None)


class MemoryScripts(ScriptDirectory):
    def __init__(self, revision_map):
        self.revision_map = revision_map


CONTEXT = MigrationContext.configure(sqlalchemy.create_engine("sqlite://").connect())
CONTEXT._ensure_version_table()
TABLE = CONTEXT.connection.connection.driver_connection.cursor()


def set_rows(rows):
    TABLE.execute("DELETE FROM alembic_version")
    TABLE.executemany("INSERT INTO alembic_version VALUES (?)", [(row,) for row in rows])


def get_rows():
    return [row for (row,) in TABLE.execute("SELECT version_num FROM alembic_version ORDER BY version_num")]


def build(written):
    def scripts():
        for one in written:
            yield MemoryScript(
                one["id"], tuple(one["parents"]), tuple(one["depends_on"]) or None, tuple(one["labels"]) or None
            )

    revision_map = RevisionMap(scripts)
    for revision in revision_map._revision_map.values():
        if revision is not None:
            # Alembic keeps these in a set, so their order changes from run to run; the order as written is one that
            # it may use.
            normalized = set(revision._normalized_resolved_dependencies)
            revision._normalized_resolved_dependencies = tuple(
                one for one in revision._resolved_dependencies if one in normalized
            )
    return MemoryScripts(revision_map)


def failure(error):
    refused = isinstance(error, util.CommandError)
    return {"refused": refused, "text": str(error) if refused else f"{type(error).__name__}: {error}"}


def ids(revisions):
    return [revision.revision for revision in revisions]


def facts(scripts):
    known = scripts.revision_map
    every = [known._revision_map[one] for one in known._revision_map if one and one == known._revision_map[one].revision]
    return {
        "heads": list(known.heads),
        "real_heads": list(known._real_heads),
        "bases": list(known.bases),
        "branch_points": [one.revision for one in every if one.is_branch_point],
        "merge_points": [one.revision for one in every if one.is_merge_point],
        "labels": {one.revision: sorted(one.branch_labels) for one in every},
        "history": ids(scripts.walk_revisions()),
    }


def listed(scripts, text, rows):
    """Does as `alembic history -r` does, less the printing."""
    if ":" not in text:
        raise util.CommandError("History range requires [start]:[end], [start]:, or :[end]")
    base, head = text.strip().split(":")
    if head == "current":
        head = rows
    elif base == "current":
        base = rows
    return ids(scripts.walk_revisions(base=base or "base", head=head or "heads"))


def answer(scripts, question):
    set_rows(question["rows"])
    rows = CONTEXT.get_current_heads()
    answered = {"planned": None, "steps": [], "failure": None}
    try:
        if question["command"] == "upgrade":
            steps = scripts._upgrade_revs(question["targets"][0], rows)
        elif question["command"] == "downgrade":
            steps = scripts._downgrade_revs(question["targets"][0], rows)
        elif question["command"] == "history":
            answered["planned"] = listed(scripts, question["targets"][0], rows)
            return answered
        else:
            steps = scripts._stamp_revs(tuple(question["targets"]), rows)
        if question["command"] != "stamp":
            answered["planned"] = [step.revision.revision for step in steps]
        maintainer = HeadMaintainer(CONTEXT, rows)
        for step in steps:
            maintainer.update_to_step(step)
            answered["steps"].append(get_rows())
    except Exception as error:
        answered["failure"] = failure(error)
    return answered


def main():
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            scripts = build(asked["revisions"])
            # Nothing is asked of a history that ripcord refuses, and Alembic would walk some cycles for ever.
            answered = {"failure": None, "facts": facts(scripts) if asked["questions"] else None}
        except Exception as error:
            answered = {"failure": failure(error), "facts": None, "answers": []}
        else:
            answered["answers"] = [answer(scripts, question) for question in asked["questions"]]
        print(json.dumps(answered), flush=True)


main()
