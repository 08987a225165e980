"""``microtensor learn``: exercises in which you write backward passes by hand."""

import json
import sys
from pathlib import Path

from microtensor.learn.attempt import attempt
from microtensor.learn.course import EXERCISES, named, round_of_hunt
from microtensor.learn.screens import Screen
from microtensor.learn.workspace import SOLUTION_AFTER, Workspace


def run(options):
    """Do what was asked for; what cannot be done is said in a sentence, with exit code 2."""
    try:
        return ACTIONS[options.action](options)
    except BrokenPipeError:
        raise
    except (OSError, LookupError, ValueError) as error:
        file = getattr(error, "filename", None)
        print(f"microtensor learn: {f'{file}: {error.strerror}' if file else error.args[0]}", file=sys.stderr)
        if isinstance(error, FileNotFoundError) and file and Path(file).stem in EXERCISES:
            print(f"`microtensor learn reset {Path(file).stem}` writes the task there", file=sys.stderr)
        return 2


def go_on(options):
    """Watch in a terminal, and check once otherwise."""
    return (watch if sys.stdin.isatty() and sys.stdout.isatty() else check)(options)


def start(options):
    """Write the course into a folder."""
    workspace, written = Workspace.start(options.folder)
    kept = len(EXERCISES) - len(written)
    print(f"wrote {len(written)} exercises into {workspace.folder}"
          + (f"; {kept} are there already and stay as they are" if kept else ""))
    inside = workspace.folder.resolve() in (Path.cwd(), *Path.cwd().parents)
    print(f"next: {'' if inside else f'cd {workspace.folder} && '}microtensor learn")
    return 0


def watch(options):
    """Watch one exercise."""
    from microtensor.learn.watch import watch

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ValueError("watch needs a terminal; `microtensor learn check` checks once")
    workspace = Workspace.find()
    try:
        watch(workspace, workspace.exercise(options.name))
    finally:
        print()
    return 0


def check(options):
    """Check one exercise, or all that have been begun."""
    if options.all:
        workspace = Workspace.find()
        names = [name for name, exercise in EXERCISES.items() if workspace.state(exercise) not in ("", "missing")]
    else:
        names = [options.name or Workspace.find().current().name]
    results = [attempt(name, options.seed) for name in names]
    if options.json:
        print(json.dumps([result.to_dict() for result in results], indent=1))
    else:
        screen = Screen()
        for result in results:
            print("\n".join(screen.result(result)))
        if not results:
            print("nothing has been written yet: `microtensor learn list` shows the exercises")
    return 0 if all(result.passed for result in results) else 1


def hint(options):
    """Show a hint, by default the next one."""
    workspace = Workspace.find()
    exercise = workspace.exercise(options.name)
    print("\n".join(Screen().hint(exercise, workspace.next_hint(exercise, options.level))))
    return 0


def solution(options):
    """Show a solution to those who have tried."""
    workspace = Workspace.find()
    exercise = workspace.exercise(options.name)
    if not (options.anyway or workspace.may_see_solution(exercise)):
        print(f"the solution of {exercise.name} opens when you have passed or after {SOLUTION_AFTER} attempts: "
              "`microtensor learn hint` gives a hint, and --anyway opens it now")
        return 1
    with workspace.changing() as progress:
        progress.of(exercise)["solution"] = True
    print(exercise.solution, end="")
    return 0


def reset(options):
    """Write tasks again."""
    workspace = Workspace.find()
    if bool(options.name) == options.all:
        raise ValueError("reset takes the name of an exercise, or --all")
    for exercise in EXERCISES.values() if options.all else [workspace.exercise(options.name)]:
        kept = workspace.reset(exercise)
        print(f"wrote {workspace.path(exercise)}" + (f"; your file is now {kept}" if kept else ""))
    return 0


def show_list(options):
    """Show the exercises and the progress."""
    print("\n".join(Screen().course(Workspace.find())))
    return 0


def hunt(options):
    """Go on with the hunt, or with a round of it; or list the keys that say what was wrong."""
    if options.keys:
        from microtensor.learn.corpus.pair import KEYS

        for key, meaning in KEYS.items():
            print("\n".join(Screen().wrapped(meaning, 17, f"{key:16} ")))
        return 0
    workspace = Workspace.find()
    exercise = round_of_hunt(options.seed) if options.seed else workspace.next_round()
    if workspace.begin(exercise):
        print(f"wrote {workspace.path(exercise)}")
    options.name, options.seed = exercise.name, None        # the seed of a hunt is its number, and not of its inputs
    return go_on(options)


def grade(options):
    """Grade the files of many learners."""
    from microtensor.learn.submissions import grade_submissions, write_csv, write_json

    names = [exercise.name for name in options.exercise for exercise in named(name)]
    graded = []
    for each in grade_submissions(options.folders, names):
        graded.append(each)
        row = each.row()
        said = "" if each.passed else f"   {row['step']}: {row['text']}" if row["step"] else f"   {row['text']}"
        print(f"{'ok  ' if each.passed else 'FAIL'} {Path(each.submission, each.path)}{said}", flush=True)
    for folder in map(str, options.folders):
        own = [each for each in graded if each.submission == folder]
        passed = {each.exercise for each in own if each.passed}
        files = f"{len(own)} file{'s' * (len(own) != 1)}"
        print(f"{folder}: {len(passed)} of {len(names or EXERCISES)} exercises passed in {files}")
    for path, write in ((options.csv, write_csv), (options.json, write_json)):
        if path is not None:
            with open(path, "w", encoding="utf-8", newline="") as file:
                write(file, graded)
    return 0


def verify(options):
    """Let the graders prove themselves."""
    from microtensor.learn.verify import page, verify

    proofs = []
    for exercise in named(options.name) if options.name else EXERCISES.values():
        proof = verify(exercise)
        print(f"{exercise.name:14} {proof.right} right, {proof.wrong} wrong answers, {proof.mutants} mutants, "
              f"{proof.equivalent} of them equivalent: {'FAILED' if proof.failures else proof.left_out or 'ok'}")
        print("".join(f"    {failure}\n" for failure in proof.failures), end="", flush=True)
        proofs.append(proof)
    if any(proof.failures for proof in proofs):
        return 1
    if options.write:
        options.write.write_text(page(proofs), encoding="utf-8")
        print(f"wrote {options.write}")
    return 0


ACTIONS = {None: go_on, "start": start, "watch": watch, "check": check, "hint": hint, "solution": solution,
           "reset": reset, "list": show_list, "hunt": hunt, "grade": grade, "verify": verify}
