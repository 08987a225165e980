"""microtensor learn: graders prove themselves, and nothing that a learner does costs an answer or ends in a crash."""

import csv
import functools
import json
import os
import re
import runpy
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from microtensor import learn
from microtensor.cli import main
from microtensor.learn import reading
from microtensor.learn import verify as verify_module
from microtensor.learn import workspace as workspace_module
from microtensor.learn.child import grade_in_child
from microtensor.learn.corpus.pair import KEYS
from microtensor.learn.course import EXERCISES, HUNTS, PARTS, Round, beside, find, round_of_hunt
from microtensor.learn.grading import grade, load_check
from microtensor.learn.hunt import changes, others, slip_of
from microtensor.learn.steps import NOT_WRITTEN, Answer, once
from microtensor.learn.verify import (
    Proof,
    because,
    begun,
    claims,
    edited,
    equivalents,
    mutants,
    page,
    verify,
    wrong_answers,
)
from microtensor.learn.workspace import PROGRESS, Workspace

sys.path.insert(0, str(Path(__file__).parent))      # the corpus is a package beside this file

from wrong_gradients import CORPUS

COMMAND = [sys.executable, "-W", "error", "-m", "microtensor", "learn"]
SIGMOID = EXERCISES["sigmoid"]
ANSWER = SIGMOID.read("solution.py")
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A workspace, as the current folder."""
    workspace, _ = Workspace.start(tmp_path / "course")
    monkeypatch.chdir(workspace.folder)
    return workspace


def write(workspace, text, exercise=SIGMOID):
    path = workspace.path(exercise)
    path.write_text(text, encoding="utf-8")
    return path


def said(capsys, *arguments):
    """The exit code of `microtensor learn ...` and all that it prints."""
    code = main(["learn", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


# -- the proof ---------------------------------------------------------------------------------------------------------


# All rounds of the hunt are graded by the same code, so that one of them is enough here, and so are one seed and a
# sixth of the wrong answers, which are some 600. The thorough tests prove each of these, and take the three seeds of a
# learner and a twentieth of some 6,000 mutants; microtensor learn verify takes a hundred seeds and all mutants, as it
# must for docs/graders.md.
@pytest.mark.parametrize("name", [name for name, each in EXERCISES.items() if getattr(each, "number", 1) == 1])
def test_exercise_stub_solution_and_answers_are_graded_as_stated(name):
    proof = verify(EXERCISES[name], seeds=1, plants=0, every=6)
    assert not proof.failures, "\n".join(proof.failures)


@pytest.mark.thorough
@pytest.mark.parametrize("name", EXERCISES)
def test_exercise_proves_its_grader(name):
    proof = verify(EXERCISES[name], seeds=3, plants=20)
    assert not proof.failures, "\n".join(proof.failures)


def test_page_of_the_graders_is_up_to_date():
    """All that takes no grading: which exercises, how many answers and mutants, and the list with its reasons."""
    text = (Path(__file__).parents[1] / "docs" / "graders.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([\d |]+) \|$", text, re.MULTILINE)
    rows = {name: tuple(map(int, numbers.split(" | "))) for name, numbers in rows}
    total = rows.pop("all")
    assert list(rows) == list(EXERCISES) and total == tuple(map(sum, zip(*rows.values(), strict=True)))
    proofs = [Proof(name, *row) for name, row in rows.items()]
    assert page(proofs) == text, "run microtensor learn verify --write docs/graders.md"
    for name, (right, wrong, planted, equivalent) in rows.items():
        exercise = EXERCISES[name]
        if not isinstance(exercise, Round):
            answers = tuple(sum(path.suffix != ".pyc" for path in (exercise.folder / kind).glob("*.*"))
                            for kind in ("right", "wrong"))
            assert (right, wrong) == answers and equivalent == len(equivalents(exercise)), name
            assert exercise.patch or planted == len(list(mutants(exercise.read("solution.py")))), name


def test_edits_of_a_source():
    source = "a\nb\n    b\nc\n"
    for diff, expected in (("# b is lost.\n\n-b\n", "a\n    b\nc\n"), ("-a\n-b\n+d\n+    b\n", "d\n    b\n    b\nc\n"),
                           ("-c\n+d\n\n-a\n+\n+e\n", "\ne\nb\n    b\nd\n")):
        assert edited(source, diff) == expected
    for diff in ("-d\n+e\n", "-a\n-c\n", "-b\n+a\n\n-a\n+b\n"):
        with pytest.raises(ValueError, match=r"stand [02] times in the source, and must stand once"):
            edited(source, diff)


def test_verify_writes_a_page(tmp_path, capsys):
    code, text = said(capsys, "verify", "verdicts", "--write", tmp_path / "page.md")
    assert code == 0 and "wrote" in text
    written = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| verdicts | 3 | 10 | 0 | 0 |\n| all | 3 | 10 | 0 | 0 |" in written
    code, text = said(capsys, "verify", "verdicts", "--write", tmp_path / "nowhere" / "page.md")
    assert code == 2 and "nowhere" in text


def test_wrong_gradients_of_the_corpus_are_claimed_once():
    claimed = [name for exercise in EXERCISES.values() for name in claims(exercise)]
    assert sorted(claimed) == sorted(entry.name for entry in CORPUS)


def test_exercises_have_a_place_and_a_page():
    assert len(EXERCISES) == sum(len(exercises) for _, exercises in PARTS.values())
    root = Path(__file__).parents[1]
    for exercise in EXERCISES.values():
        assert (root / exercise.page).exists(), exercise
        assert f"about {exercise.minutes} minutes" in exercise.task.split("\n")[0], exercise.name


def test_bands_of_signal_are_as_wide_as_what_is_measured_spreads():
    """The standard deviations that the bands are derived from, and those over 30 seeds, which are right to 13%."""
    questions = load_check(EXERCISES["signal"]).__globals__["QUESTIONS"]
    for name, (measure, _) in questions.items():
        if name != "sigmoid":       # chance has no part in that prediction
            found, _, most = np.transpose([measure(np.random.default_rng(seed))[:3] for seed in range(30)])
            assert 0.6 < np.std(found) / (np.mean(most - found) / 5) < 1.5, name


# -- files that break graders ------------------------------------------------------------------------------------------

BREAKING = {
    "a loop that does not end": ("while True: pass", "stopped after 1 s", "line {last}: while True: pass"),
    "exit": ("import sys; sys.exit(3)", "SystemExit: 3", "line {last}: import sys; sys.exit(3)"),
    "the end of the process": ("import os; os._exit(0)", "ended the process with exit code 0"),
    "a crash": ("import os; os.abort()", "killed by signal 6"),
    "an exception": ("1 / 0", "ZeroDivisionError: division by zero", "line {last}: 1 / 0"),
    "a syntax error": ("def f(:", "line {last}: invalid syntax", "def f(:"),
    "a null byte": ("\0", "null byte"),
    "too much memory": ("np.ones(1 << 40)", "MemoryError", "line {last}"),
    "an autograd library": ("import torch", "line {last} imports torch:", "NumPy alone"),
    "microtensor": ("from microtensor import nn", "line {last} imports microtensor.nn"),
    "the answer itself": ("from microtensor.learn.given import sigmoid", "line {last} imports", "asks you to write"),
    "another exercise": ("from linear import linear", "line {last} imports linear: an exercise stands alone"),
    "an exercise in reading": ("from mutant import ANSWERS", "line {last} imports mutant: an exercise stands alone"),
    "a wrong type": ("def sigmoid(x): return 1", "sigmoid returns int, and should return a pair"),
    "no return": ("def sigmoid(x): x + 1", "sigmoid returns None (is there a `return`?)"),
    "integers": ("def sigmoid(x): return (x > 0) * 1, x", "an array of int"),
    "a wrong shape": ("def sigmoid(x): return x[:1], x", "returns shape (1, 5), should be (3, 5)"),
    "an input that is changed": ("def sigmoid(x): x += 1; return x, x", "changes its input in place"),
    "a missing function": ("del sigmoid_backward", "defines no sigmoid_backward"),
    "a wrong number of arguments": ("def sigmoid(): pass", "TypeError: sigmoid() takes 0 positional arguments"),
    "state between calls": ("n = [0]\ndef sigmoid_backward(g, y): n[0] += 1; return n[0] * g * y * (1 - y)",
                            "a second backward gives another gradient"),
    "no gradient": ("def sigmoid_backward(g, y): pass", "sigmoid_backward returns None (is there a `return`?) for dx"),
    "a gradient of another shape": ("def sigmoid_backward(g, y): return g[0]", "shape must be (3, 5), not (5,)"),
    "differences": ("def sigmoid_backward(g, y): return sigmoid(y + 1)[0] - sigmoid(y)[0]", "more than once"),
}


@POSIX
@pytest.mark.parametrize("name", BREAKING)
def test_file_that_breaks_graders_gets_a_sentence(name, tmp_path):
    line, *expected = BREAKING[name]
    path = tmp_path / "sigmoid.py"
    path.write_text(f"{ANSWER}\n{line}\n", encoding="utf-8")
    last = len(path.read_text(encoding="utf-8").splitlines())
    text = str(grade_in_child(SIGMOID, path, seconds=1 if "end" in name else None))
    flat = " ".join(text.split())
    for part in expected:
        assert part.format(last=last) in flat, text
    assert "Traceback" not in text and "FAIL" in text and "Internal" not in text


@POSIX
def test_print_of_a_megabyte_is_cut_and_shown(tmp_path):
    path = tmp_path / "sigmoid.py"
    path.write_text(f"{ANSWER}\nprint('begin', 'x' * 1_000_000)\n", encoding="utf-8")
    result = grade_in_child(SIGMOID, path)
    assert result.passed and result.printed.startswith("begin xxx") and "1,000,007 bytes in all" in result.printed
    assert len(str(result)) < 5000


def test_answer_in_any_script_and_line_ending_is_graded(tmp_path):
    path = tmp_path / "sigmoid.py"
    path.write_bytes(f"# Übung, 練習\n{ANSWER}print('ß')\n".replace("\n", "\r\n").encode())
    result = grade_in_child(SIGMOID, path)
    assert result.passed and result.printed.strip() == "ß", result
    path.write_bytes("# Übung\n".encode("latin-1"))
    assert "line 1 is not UTF-8" in str(grade_in_child(SIGMOID, path))


def test_folder_of_the_learner_hides_no_package(course, capsys):
    """A numpy.py beside the exercises, or in the folder that one stands in, is not what the grader imports."""
    for folder in (course.folder, course.path(SIGMOID).parent):
        (folder / "numpy.py").write_text("raise SystemExit('not this one')\n")
    write(course, ANSWER)
    assert main(["learn", "check", "sigmoid"]) == 0, capsys.readouterr()


@POSIX
def test_report_that_cannot_be_written_is_said(tmp_path):
    """RLIMIT_FSIZE stands for a disk that is full."""
    path = tmp_path / "sigmoid.py"
    path.write_text(ANSWER, encoding="utf-8")
    program = ("import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
               "resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8)); "
               "from microtensor import learn; print(learn.check('sigmoid.py'))")
    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert "is there room in" in process.stdout and "Traceback" not in process.stderr, process


# -- the folder --------------------------------------------------------------------------------------------------------


def test_start_writes_what_is_missing_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert said(capsys, "start", "mine")[0] == 0
    workspace = Workspace("mine")
    path = write(workspace, "# mine\n")
    workspace.path(EXERCISES["tanh"]).unlink()
    code, text = said(capsys, "start", "mine")
    assert code == 0 and f"wrote 1 exercises into mine; {len(EXERCISES) - 1} are there already" in text
    assert path.read_text() == "# mine\n" and workspace.path(EXERCISES["tanh"]).read_text() == EXERCISES["tanh"].task


def test_progress_is_done_until_the_file_changes(course, capsys):
    assert said(capsys, "check", "sigmoid")[0] == 1
    assert course.state(SIGMOID) == "" and course.progress.of(SIGMOID).get("attempts", 0) == 0
    write(course, ANSWER + "x = 1\n")
    assert "attempt 1" in said(capsys, "check", "sigmoid")[1] and course.state(SIGMOID) == "done"
    write(course, ANSWER)
    assert course.state(SIGMOID) == "changed"
    assert "[~] sigmoid" in said(capsys, "list")[1]
    course.path(SIGMOID).unlink()
    assert course.state(SIGMOID) == "missing"
    code, text = said(capsys, "check", "sigmoid")
    assert code == 2 and "sigmoid.py" in text and "`microtensor learn reset sigmoid` writes the task there" in text


def test_progress_that_is_not_known_survives(course, capsys):
    path = course.folder / PROGRESS
    data = json.loads(path.read_text())
    data["exercises"]["of_a_later_course"] = {"passed": "0" * 64}
    data["theme"] = "dark"
    path.write_text(json.dumps(data))
    write(course, ANSWER)
    assert said(capsys, "check", "sigmoid")[0] == 0
    now = json.loads(path.read_text())
    assert now["theme"] == "dark" and now["exercises"]["of_a_later_course"] == {"passed": "0" * 64}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"exercises": {"sigmoid": 1}}'])
def test_progress_that_cannot_be_read_costs_no_answer(course, capsys, text):
    write(course, ANSWER)
    (course.folder / PROGRESS).write_text(text)
    code, said_text = said(capsys, "check", "sigmoid")
    said_text = " ".join(said_text.split())         # it is wrapped
    assert code == 0 and "could not be written down" in said_text and "your answers are in their own files" in said_text
    assert (course.folder / PROGRESS).read_text() == text
    (course.folder / PROGRESS).unlink()
    assert said(capsys, "start", ".")[0] == 0 and course.path(SIGMOID).read_text() == ANSWER


def test_reset_keeps_what_was_there(course, capsys):
    write(course, ANSWER)
    said(capsys, "check", "sigmoid")
    assert said(capsys, "reset", "sigmoid")[0] == 0
    write(course, "# nothing\n")
    assert said(capsys, "reset", "sigmoid")[0] == 0         # within the same second, too
    assert said(capsys, "reset", "sigmoid")[0] == 0         # there is nothing to keep
    assert course.path(SIGMOID).read_text() == SIGMOID.task and course.state(SIGMOID) == ""
    kept = sorted((course.folder / ".backup").iterdir())
    assert len(kept) == 2 and ANSWER in [path.read_text() for path in kept]


def test_hints_come_one_after_the_other_and_the_solution_after_trying(course, capsys):
    for level in (1, 2, 3, 3):
        code, text = said(capsys, "hint", "sigmoid")
        assert code == 0 and text.startswith(f"sigmoid   hint {level} of 3")
    assert said(capsys, "solution", "sigmoid")[0] == 1
    for attempt in range(3):
        write(course, ANSWER.replace("g * y", f"-g * {attempt + 1} * y"))
        for _ in range(2):          # the same file again is no attempt
            code, text = said(capsys, "check", "sigmoid")
            assert code == 1 and f"attempt {attempt + 1}" in text
    code, text = said(capsys, "solution", "sigmoid")
    assert code == 0 and text == ANSWER
    entry = course.progress.of(SIGMOID)
    assert entry["hints"] == 3 and entry["attempts"] == 3 and entry["solution"] is True


def test_course_goes_on_where_it_was(course, capsys):
    assert course.current().name == next(iter(EXERCISES))
    write(course, ANSWER.replace("g * y", "-g * y"))
    said(capsys, "check", "sigmoid")
    assert course.current() is SIGMOID
    write(course, ANSWER)
    said(capsys, "check", "sigmoid")
    assert course.current().name == "tanh"


def test_start_within_a_course_writes_no_second_one(course, capsys, monkeypatch):
    (course.folder / PROGRESS).unlink()
    monkeypatch.chdir(course.path(SIGMOID).parent)
    code, text = said(capsys, "start")
    assert code == 0 and "wrote 0 exercises" in text and (course.folder / PROGRESS).exists()
    assert not list(course.folder.rglob("microtensor-learn"))


def test_task_that_changed_is_said(course, capsys):
    with course.changing() as progress:
        progress.of(SIGMOID)["task"] = "0" * 64
    assert "the task of sigmoid has changed" in said(capsys, "list")[1]
    said(capsys, "reset", "sigmoid")
    assert "has changed" not in said(capsys, "list")[1].replace("changed since it passed", "")


@pytest.mark.parametrize("arguments, expected", [
    (["check", "sigmiod"], "did you mean sigmoid"),
    (["check", "nothing_like_it"], "learn list"),
    (["reset"], "the name of an exercise, or --all"),
    (["watch"], "watch needs a terminal"),
])
def test_command_that_cannot_be_done_is_one_sentence(course, capsys, arguments, expected):
    code, text = said(capsys, *arguments)
    assert code == 2 and expected in text and text.count("\n") == 1


def test_command_without_a_course_says_how_to_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, text = said(capsys)
    assert code == 2 and "microtensor learn start" in text


@POSIX
def test_folder_without_write_permission_is_said(tmp_path):
    """As another user, since root may write anywhere; the package is read before, as that user may not be able to."""
    program = ("import os; from microtensor.learn.course import EXERCISES, Exercise; import microtensor.cli.learn; "
               "tasks = {exercise.name: exercise.task for exercise in EXERCISES.values()}; "
               "Exercise.task = property(lambda exercise: tasks[exercise.name]); "
               "os.geteuid() or os.setuid(65534); "
               f"raise SystemExit(microtensor.cli.main(['learn', 'start', {str(tmp_path / 'course')!r}]))")
    os.chmod(tmp_path, 0o555)
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    os.chmod(tmp_path, 0o755)
    assert process.returncode == 2 and process.stderr.count("\n") == 1, process
    assert "course" in process.stderr and "Permission denied" in process.stderr


def test_write_that_fails_leaves_the_old_file(course, monkeypatch):
    before = (course.folder / PROGRESS).read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workspace_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"), course.changing() as progress:
        progress.of(SIGMOID)["attempts"] = 7
    assert (course.folder / PROGRESS).read_text() == before
    assert not list(course.folder.glob(".progress.json-*"))


def test_attempts_of_two_terminals_are_all_counted(course):
    def count():
        for _ in range(20):
            with course.changing() as progress:
                entry = progress.of(SIGMOID)
                entry["attempts"] = entry.get("attempts", 0) + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert course.progress.of(SIGMOID)["attempts"] == 80


# -- from Python -------------------------------------------------------------------------------------------------------


def test_check_returns_a_result_and_strict_raises(course):
    path = write(course, ANSWER)
    assert learn.check("sigmoid").passed and learn.check(path, strict=True).passed
    write(course, ANSWER.replace("g * y", "-g * y"))
    with pytest.raises(AssertionError, match="the sign is wrong"):
        learn.check("sigmoid", strict=True)


def test_file_run_as_a_program_grades_itself(course):
    path = write(course, SIGMOID.task)
    process = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert process.returncode == 1 and "not written yet" in process.stdout, process
    path.write_text(ANSWER + SIGMOID.task[SIGMOID.task.index("\nif __name__"):])
    process = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert process.returncode == 0 and "done" in process.stdout, process


def test_given_functions_are_those_of_the_solutions():
    from microtensor.learn.given import sigmoid, sigmoid_backward

    y, saved = sigmoid(1.0)
    assert abs(sigmoid_backward(1.0, saved) - y * (1 - y)) < 1e-15
    with pytest.raises(ImportError):
        from microtensor.learn.given import nothing  # noqa: F401


def test_given_functions_are_those_that_a_task_leaves_open():
    """A task may hold functions that are written already, as verdicts does, and of the same names as others ask for."""
    from microtensor.learn.given import relu

    assert relu(-1.0)[0] == 0
    assert EXERCISES["verdicts"].asks_for == [] and "ReLU" not in EXERCISES["train"].asks_for


def test_course_is_loaded_when_it_is_asked_for():
    program = "import sys, microtensor; print([name for name in sys.modules if name.startswith('microtensor.learn')])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_json_holds_the_whole_result(course, capsys):
    write(course, ANSWER.replace("g * y", "-g * y"))
    code, text = said(capsys, "check", "sigmoid", "--json")
    (result,) = json.loads(text)
    assert code == 1 and result["schema"] == 1 and not result["passed"] and result["exercise"] == "sigmoid"
    assert [step["name"] for step in result["steps"]] == ["forward", "gradient"]
    assert result["steps"][1]["hint"] == "sign"


def test_readme_shows_what_is_printed(course, capsys):
    """Of the answer wrong/no_mean, at its first attempt."""
    exercise = EXERCISES["batchnorm"]
    write(course, next(source for path, source in wrong_answers(exercise) if path.stem == "no_mean"), exercise)
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"```\n{said(capsys, 'check', 'batchnorm')[1]}```" in readme


# -- watching ----------------------------------------------------------------------------------------------------------


class Terminal:
    """`microtensor learn ...` on a terminal of its own."""

    def __init__(self, folder, *arguments):
        import pty

        self.handle, end = pty.openpty()
        import termios

        self.before = termios.tcgetattr(end)
        self.end = end
        self.process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdin=end, stdout=end, stderr=end,
                                        start_new_session=True, env={**os.environ, "TERM": "xterm", "COLUMNS": ""})
        self.unread = ""

    def press(self, keys):
        os.write(self.handle, keys.encode())

    def screen_with(self, text, seconds=60):
        """Read whole screens until one shows a text, and return that: one that was read before does not count again."""
        deadline = time.monotonic() + seconds
        while True:
            while "q quit" not in self.unread:
                ready, _, _ = select.select([self.handle], [], [], max(0, deadline - time.monotonic()))
                assert ready, f"no screen with {text!r}: {self.unread!r}"
                self.unread += os.read(self.handle, 65536).decode("utf-8", "replace")
            screen, _, self.unread = self.unread.partition("q quit")
            screen = screen.rpartition("\033[H")[2]
            if text in " ".join(screen.split()):
                return screen

    def is_as_before(self):
        import termios

        return termios.tcgetattr(self.end) == self.before

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.handle)
        os.close(self.end)


@pytest.fixture
def terminal(course):
    terminal = Terminal(course.folder, "watch", "sigmoid")
    yield terminal
    terminal.close()


@POSIX
def test_watch_follows_the_size_of_the_window(course, terminal):
    import fcntl
    import termios

    write(course, ANSWER.replace("g * y", "-g * y"))
    terminal.screen_with("the sign is wrong")
    terminal.press("l")
    terminal.screen_with("sigmoid")
    for columns in (60, 90):
        fcntl.ioctl(terminal.handle, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        lines = re.sub("\033\\[[0-9;]*[A-Za-z]", "", terminal.screen_with("sigmoid")).splitlines()
        assert columns - 20 < max(map(len, lines)) <= columns, lines


@POSIX
def test_watch_shows_each_save_and_stays(course, terminal):
    terminal.screen_with("not written yet")
    assert not terminal.is_as_before()          # keys come one by one
    write(course, ANSWER.replace("g * y", "-g * y"))
    terminal.screen_with("the sign is wrong")
    course.path(SIGMOID).unlink()
    terminal.screen_with("is missing")
    write(course, ANSWER)
    terminal.screen_with("done")
    terminal.press("h")
    terminal.screen_with("hint 1 of 3")
    terminal.press("l")
    terminal.screen_with("[\x1b[32mx\x1b[0m] sigmoid")
    terminal.press("n")
    terminal.screen_with("tanh")
    terminal.press("q")
    assert terminal.process.wait(10) == 0 and terminal.is_as_before()


@POSIX
def test_watch_resets_only_when_it_is_meant(course, terminal):
    write(course, ANSWER)
    terminal.screen_with("done")
    terminal.press("x")
    terminal.screen_with("(y/n)")
    terminal.press("n")
    terminal.screen_with("done")
    assert course.path(SIGMOID).read_text() == ANSWER
    terminal.press("x")
    terminal.screen_with("(y/n)")
    terminal.press("y")
    terminal.screen_with("not written yet")
    assert course.path(SIGMOID).read_text() == SIGMOID.task


@POSIX
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_watch_that_is_stopped_restores_the_terminal(course, terminal, stop):
    write(course, f"{ANSWER}\nwhile True: pass\n")
    deadline = time.monotonic() + 20
    while terminal.is_as_before() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)                             # in the middle of grading
    os.kill(terminal.process.pid, stop)
    assert terminal.process.wait(10) in (130, 143) and terminal.is_as_before()


def test_watch_without_termios_goes_on_without_keys(course, monkeypatch, capsys):
    from microtensor.learn.watch import Keys, Watch

    monkeypatch.setitem(sys.modules, "termios", None)
    write(course, ANSWER)
    with Keys() as keys:
        assert Watch(course, SIGMOID, keys).wait()
    text = capsys.readouterr().out
    assert "done" in text and "Ctrl-C stops" in text


# -- notebooks ---------------------------------------------------------------------------------------------------------


def test_cell_is_written_into_the_file_and_graded(tmp_path, monkeypatch, capsys):
    from microtensor.learn.notebook import write_and_check

    monkeypatch.chdir(tmp_path)
    assert write_and_check("sigmoid", ANSWER).passed
    assert "wrote the course" in capsys.readouterr().out
    workspace = Workspace.find()
    assert workspace.path(SIGMOID).read_text() == ANSWER
    result = write_and_check(" sigmoid ", ANSWER.replace("g * y", "-g * y"))
    assert result.attempt == 2 and "the sign is wrong" in result._repr_html_()
    assert [path.read_text() for path in (workspace.folder / ".backup").iterdir()] == [ANSWER]
    assert write_and_check("sigmiod", ANSWER) is None and write_and_check("", ANSWER) is None
    assert "did you mean sigmoid" in capsys.readouterr().out


@pytest.mark.slow
def test_magic_and_strict_check_work_in_a_kernel(tmp_path):
    """A real Jupyter kernel, as nbgrader uses one: the report is shown, and a wrong answer raises in the test cell."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    wrong = ANSWER.replace("g * y", "-g * y")
    cells = ["%load_ext microtensor.learn", f"%%learn sigmoid\n{wrong}",
             "from microtensor import learn\nlearn.check('sigmoid', strict=True)", f"%%learn sigmoid\n{ANSWER}",
             "learn.check('sigmoid', strict=True)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(notebook, timeout=120, allow_errors=True, kernel_name="python3",
                                     resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    _, first, strict, second, last = (cell.outputs for cell in notebook.cells)
    assert "the sign is wrong" in first[-1].data["text/html"] and "#c33" in first[-1].data["text/html"]
    assert strict[-1].ename == "AssertionError" and "the sign is wrong" in strict[-1].evalue
    assert "done" in second[-1].data["text/html"] and "done" in last[-1].data["text/plain"].splitlines()[-1]


# -- for teachers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def submissions(tmp_path):
    """Three folders: a right answer, a wrong one with a progress file that claims otherwise, and one that hangs."""
    for name, text in (("anna", ANSWER), ("ben", ANSWER.replace("g * y", "-g * y")), ("carl", f"{ANSWER}\n1 / 0\n")):
        workspace, _ = Workspace.start(tmp_path / name)
        for exercise in EXERCISES.values():
            if exercise is not SIGMOID:
                workspace.path(exercise).unlink()
        write(workspace, text)
    with Workspace(tmp_path / "ben").changing() as progress:
        progress.of(SIGMOID)["passed"] = workspace_module.sha256_of(ANSWER.replace("g * y", "-g * y"))
    return tmp_path


def test_grade_runs_the_files_and_believes_no_progress(submissions, capsys):
    folders = [submissions / name for name in ("anna", "ben", "carl")]
    tables = submissions / "table.csv", submissions / "table.json"
    code, text = said(capsys, "grade", *folders, "--csv", tables[0], "--json", tables[1])
    assert code == 0 and f"anna: 1 of {len(EXERCISES)} exercises passed in 1 file\n" in text
    assert f"ben: 0 of {len(EXERCISES)} exercises passed" in text and "carl: 0 of" in text
    rows = list(csv.DictReader(tables[0].read_text(encoding="utf-8").splitlines()))
    assert [(Path(row["submission"]).name, row["passed"], row["step"], row["hint"]) for row in rows] == [
        ("anna", "1", "", ""), ("ben", "0", "gradient", "sign"), ("carl", "0", "import", "")]
    found = json.loads(tables[1].read_text(encoding="utf-8"))
    assert found["schema"] == 1 and [file["passed"] for file in found["files"]] == [True, False, False]
    assert found["files"][1]["result"]["steps"][0]["passed"]


def test_grade_looks_into_folders_below_but_not_into_hidden_ones(tmp_path, capsys):
    for place in ("deep/er/sigmoid.py", ".backup/sigmoid.py", "notes.py"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ANSWER)
    code, text = said(capsys, "grade", tmp_path)
    assert code == 0 and text.count("sigmoid.py") == 1 and "deep" in text


def test_grade_of_what_is_no_folder_is_a_sentence(tmp_path, capsys):
    code, text = said(capsys, "grade", tmp_path, tmp_path / "nobody")
    assert code == 2 and "nobody" in text and text.count("\n") == 1


# -- exercises in reading ----------------------------------------------------------------------------------------------

READING = ["verdicts", "graph", "mutant"]       # their answer is a dictionary, ANSWERS
checker = functools.cache(lambda name: load_check(EXERCISES[name]))


def answers_of(name):
    """The entries of the solution's ANSWERS."""
    return runpy.run_path(str(EXERCISES[name].folder / "solution.py"))["ANSWERS"]


def steps_for(name, **defined):
    """The steps of a reading exercise for a file that defines this."""
    return list(checker(name)(Answer(SimpleNamespace(**defined), "<answers>"), None))


@pytest.mark.parametrize("name", READING)
def test_answer_to_another_question_fails_at_its_own_step(name):
    right = answers_of(name)
    for number, key in enumerate(right):
        for other in {repr(value): value for value in right.values() if value != right[key]}.values():
            steps = steps_for(name, ANSWERS={**right, key: other})
            assert [step.passed for step in steps] == [i != number for i in range(len(right))], (key, other)


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("entry", ["", " ", [], ["", {}], "-> ,", None, True, 0, float("nan"), b"", {1: {2: object}},
                                   object, "no such answer", 1000 * ["kernel"], 1000 * ["Mul"]])
def test_entry_that_is_no_answer_gets_a_sentence(name, entry):
    right = answers_of(name)
    for number, key in enumerate(right):
        step = steps_for(name, ANSWERS={**right, key: entry})[number]
        if right[key] != entry:
            assert not step.passed and len(step.text) < 200
            assert re.search(f"^{NOT_WRITTEN}$|^you say | is no | is of type ", step.text), step


@pytest.mark.parametrize("defined", [{}, {"ANSWERS": []}, {"ANSWERS": None}, {"ANSWERS": {}}, {"ANSWERS": dict}])
@pytest.mark.parametrize("name", READING)
def test_answers_that_are_no_dictionary_get_a_sentence(name, defined):
    for step in steps_for(name, **defined):
        assert re.search("^ANSWERS is of type |^ANSWERS has no entry |^the file defines no ANSWERS", step.text), step


def test_places_that_are_shown_stand_in_the_source():
    graph, mutant = (checker(name).__globals__ for name in ("graph", "mutant"))
    assert all(reading.place(*where) for _, where, _ in graph["QUESTIONS"].values())
    assert all(mutant["place_of"](letter) for letter in mutant["MUTANTS"])
    assert set(mutant["WHY"]) == set(mutant["MUTANTS"]) == set(answers_of("mutant"))
    assert set(graph["QUESTIONS"]) == set(answers_of("graph"))
    with pytest.raises(LookupError, match="has no line with 'nothing like it'"):
        reading.place("core.pyx", "cdef class Engine", "nothing like it")


def test_programs_of_the_task_leave_the_engine_as_it_was():
    import microtensor as mt

    assert all(step.passed for step in steps_for("graph", ANSWERS=answers_of("graph")))
    assert mt.is_grad_enabled() and mt.core.observe(None) is None


# -- the hunt ----------------------------------------------------------------------------------------------------------

DDOF = EXERCISES["round4"]      # n for n - 1 in the gradient of a standard deviation, x (7, 3)
REPAIRED = DDOF.read("solution.py")
ROUNDS = len(HUNTS) + len(others())         # before one comes again


def steps_of(text, exercise=DDOF):
    return {step.name: step for step in grade(exercise, "<answer>", (0,), text=text).steps}


def test_rounds_are_all_different_and_the_same_everywhere():
    slips = [slip_of(number) for number in range(1, ROUNDS + 1)]
    assert len({slip.name for slip in slips}) == ROUNDS > 600 and slip_of(ROUNDS + 1) in slips
    program = ("from microtensor.learn.course import round_of_hunt as of; from hashlib import sha256; "
               "print(sha256(''.join(of(n).task for n in (1, 7, 57, 1000)).encode()).hexdigest())")
    hashes = {subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                             env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")}
    assert len(hashes) == 1


@pytest.mark.parametrize("number", range(1, ROUNDS + 1, 30))
def test_round_stands_alone_and_gives_nothing_away(number):
    exercise, slip = round_of_hunt(number), slip_of(number)
    task = exercise.task
    assert slip.text not in task and "slip" not in task and max(map(len, task.split('"""')[1].split("\n"))) <= 118
    assert len(changes(task, exercise.read("solution.py"))) == 1
    names = {}
    exec(compile(task, "<task>", "exec"), names)
    assert {value.__name__.split(".")[0] for value in names.values() if isinstance(value, type(os))} == {"numpy"}
    shapes = [x.shape for x in learn.inputs(exercise.name)]
    assert shapes == [x.shape for x in learn.inputs(f"somewhere/{exercise.name}.py", seed=1)]


@pytest.mark.parametrize("number", [11, *(pytest.param(number, marks=pytest.mark.thorough)
                                          for number in range(311, ROUNDS + 1, 300))])
def test_round_beyond_the_course_proves_its_grader(number):
    proof = verify(round_of_hunt(number), seeds=1)
    assert not proof.failures, "\n".join(proof.failures)


@pytest.mark.thorough
@pytest.mark.parametrize("first", range(1, ROUNDS + 1, 40))         # to be shared out to processes
def test_round_fails_and_its_repair_passes(first):
    """Every third round: that every slip is caught is seen by test_gradcheck_pairs.py."""
    for exercise in map(round_of_hunt, range(first, min(first + 40, ROUNDS + 1), 3)):
        planted = steps_of(exercise.task, exercise)
        assert list(planted) == ["gradient", "edit"] and not planted["gradient"].passed, exercise
        assert grade(exercise, "<solution>", (0,), text=exercise.read("solution.py")).passed, exercise


LOOP = "def f(x):\n    for i in x:\n        a(i)\n        b(i)\n    if x:\n        c(x)\n    return x\n"


@pytest.mark.parametrize("after, count", [
    (LOOP, 0),
    ('"""Text."""\n# comment\nWHY = "sign"\n' + LOOP, 0),
    (LOOP.replace("b(i)", "b(-i)"), 1),
    (LOOP.replace("for i in x", "for i in y"), 1),
    (LOOP.replace("        b(i)\n", ""), 1),
    (LOOP.replace("a(i)\n", "a(i)\n        a(i)\n"), 1),
    (LOOP.replace("a(i)", "a(-i)").replace("return x", "return y"), 2),
    (LOOP.replace("b(i)", "b(i); d(i)").replace("a(i)", "e(i)"), 2),
    (LOOP.replace("        a(i)\n        b(i)", "        b(i)\n        a(i)"), 2),
    (LOOP.replace("        b(i)", "    b(i)"), 1),                            # out of the loop
    (LOOP.replace("    if x:\n", "    if x:\n        pass\n    else:\n"), 2),
    ("WHY = f(0)\n" + LOOP, 1),
])
def test_changes_are_counted_on_statements(after, count):
    assert len(changes(LOOP, after)) == count


def test_round_as_it_is_given_tells_where_it_is_wrong_and_not_how(course, capsys):
    code, text = said(capsys, "check", "round4")
    assert code == 1 and text.startswith("hunt 4 of 10   07_hunt")
    assert "dx (7, 3): 21 of 21 wrong" in text and "edit      -     not written yet" in text and "WHY" not in text
    assert not any(word in text for word in ("ratio", "->", "yours", "0.857", "6/7"))
    assert course.state(DDOF) == "" and "attempts" not in course.progress.of(DDOF)      # it was only looked at


EDITS = {
    "a second edit of backward": (begun(REPAIRED, "sample_std_backward"), "2 statements are not as they", "pass"),
    "a second edit of forward": (begun(REPAIRED, "sample_std"), "2 statements are not as they", "pass"),
    "a constant": (REPAIRED.replace('WHY = "ddof"', 'WHY = "ddof"\n\nN = 7'), "2 statements are not as they", "N = 7"),
    "forward in place of backward": (DDOF.task.replace("(len(x) - 1)", "len(x)"), "not in sample_std_backward",
                                     "centred).sum(0) / len(x))"),
    "a WHY that calls": (REPAIRED.replace('"ddof"', 'str("ddof")'), "2 statements are not as they", 'WHY = str('),
}


@pytest.mark.parametrize("name", EDITS)
def test_edit_of_more_than_a_statement_is_refused_with_its_line(name):
    text, expected, line = EDITS[name]
    found = steps_of(text)
    assert found["gradient"].passed and not found["edit"].passed and "WHY" not in found
    assert expected in found["edit"].text and any(line in shown for shown in found["edit"].lines), found


def test_repair_that_is_another_than_the_solution_is_right():
    """The mean over n - 1 in g; and a statement more, where the planted one stays."""
    for old, new in (("(std * len(centred))", "std / 6"), ("    centred, std = saved\n",
                     "    centred, std = saved\n    g = g * len(g) if len(g) < 0 else g * 7 / 6\n")):
        text = because(DDOF.task.replace(old, new), "ddof")
        found = steps_of(text)
        assert found["gradient"].passed and found["edit"].passed and found["WHY"].passed, found


def test_key_that_is_not_true_is_refused_with_the_numbers():
    found = steps_of(because(REPAIRED, "size"))["WHY"]
    assert 'you say "size"' in found.text and "the sizes here are 3 and 7" in found.lines[0], found
    assert "dx: yours / right is 6/7 = 0.857143 at every element" in found.lines, found
    found = steps_of(because(REPAIRED, "mean"))["WHY"]
    assert "all elements are wrong by one factor" in found.lines[0], found
    assert steps_of(because(REPAIRED, " DDOF "))["WHY"].passed
    helpful = steps_of(because(REPAIRED, "factor"))["WHY"]
    assert helpful.passed and '"ddof" says more' in helpful.text
    assert "do you mean 'ddof'?" in steps_of(because(REPAIRED, "dof"))["WHY"].text
    assert "of type int" in steps_of(REPAIRED.replace('"ddof"', "1"))["WHY"].text
    assert "defines no WHY" in steps_of(REPAIRED.replace('WHY = "ddof"', ""))["WHY"].text
    assert steps_of(because(REPAIRED, ""))["WHY"].text == "not written yet"


def test_hints_of_a_round_come_from_its_numbers():
    where, numbers, line = DDOF.hints
    assert "21 of 21 wrong" in where and "6/7" not in where
    assert "6/7 = 0.857143 at every element" in numbers and "return" not in numbers
    assert "Line 43 is wrong" in line and DDOF.task.splitlines()[42].strip() in line
    missing = next(exercise for exercise in map(round_of_hunt, range(1, ROUNDS))
                   if changes(exercise.task, exercise.read("solution.py"))[0][0] is None)
    assert "A statement is missing: it would be line" in missing.hints[2]
    assert "What holds another number after a call" in EXERCISES["round7"].hints[0]


def test_hunt_goes_on_with_the_next_round(course, capsys):
    for number in range(1, 11):
        with course.changing() as progress:
            exercise = round_of_hunt(number)
            write(course, exercise.read("solution.py"), exercise)
            progress.of(exercise)["passed"] = workspace_module.sha256_of(exercise.read("solution.py"))
    code, text = said(capsys, "hunt")
    assert code == 1 and "wrote" in text and "hunt 11   07_hunt" in text
    eleven = round_of_hunt(11)
    write(course, eleven.read("solution.py"), eleven)
    code, text = said(capsys, "check", "hunt")
    assert code == 0 and "hunt 11   attempt 1" in text and course.next_round() == round_of_hunt(12)
    assert "and 1 more rounds of the hunt" in said(capsys, "list")[1]
    code, text = said(capsys, "hunt", "--seed", 57)
    assert code == 1 and "hunt 57" in text and course.current() == round_of_hunt(57)
    assert said(capsys, "hint")[1].startswith("hunt 57   hint 1 of 3")
    assert said(capsys, "solution", "round57", "--anyway")[1] == round_of_hunt(57).read("solution.py")
    write(course, "# nothing\n", round_of_hunt(57))
    assert said(capsys, "reset", "round57")[0] == 0 and course.state(round_of_hunt(57)) == ""
    keys = said(capsys, "hunt", "--keys")[1].splitlines()
    assert [line.split("  ")[0] for line in keys if line[0] != " "] == list(KEYS) and max(map(len, keys)) <= 110


def test_inputs_of_a_round_are_of_a_stream_of_their_own():
    """A learner draws g from default_rng(0): if x came from it too, g would be x, and no condition on g be seen."""
    for number in range(1, 11):
        drawn = np.random.default_rng(0).standard_normal(1000)
        assert all(not np.isin(x, drawn).any() for x in learn.inputs(f"round{number}") if x.dtype.kind == "f"), number


def test_round_of_many_digits_exists():
    assert round_of_hunt(10**12).title == "hunt 1000000000000" and find("round1000000000000") == round_of_hunt(10**12)


def test_neighbours_of_rounds():
    assert beside(EXERCISES["round10"], 1) is EXERCISES["forge"] and beside(EXERCISES["verdicts"], -1) is None
    assert beside(round_of_hunt(57), 1) == round_of_hunt(58) and beside(round_of_hunt(11), -1) is EXERCISES["round10"]


@POSIX
def test_hunt_in_a_terminal_watches_and_goes_on(course):
    terminal = Terminal(course.folder, "hunt", "--seed", "57")
    try:
        terminal.screen_with("hunt 57")
        terminal.press("n")
        terminal.screen_with("hunt 58")
        assert course.path(round_of_hunt(58)).exists()
        terminal.press("q")
        assert terminal.process.wait(10) == 0
    finally:
        terminal.close()


def test_rounds_that_a_teacher_sets_are_graded(tmp_path, capsys):
    for name, text in (("round4", REPAIRED), ("round57", round_of_hunt(57).task)):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    assert "1 of 1 exercises passed in 1 file" in said(capsys, "grade", tmp_path, "--exercise", "round4")[1]
    assert "0 of 1 exercises passed in 1 file" in said(capsys, "grade", tmp_path, "--exercise", "round57")[1]
    assert "1 of 12 exercises passed in 1 file" in said(capsys, "grade", tmp_path, "--exercise", "hunt")[1]


def test_inputs_are_those_of_a_round():
    x, = learn.inputs("round4", seed=3)
    assert x.shape == (7, 3)
    with pytest.raises(LookupError, match="no round of the hunt"):
        learn.inputs("sigmoid")


def test_functions_that_a_task_gives_are_not_asked_for():
    from microtensor.learn.given import relu, softmax

    assert EXERCISES["verdicts"].asks_for == [] and "layer" not in EXERCISES["forge"].asks_for
    assert relu.__code__.co_filename.endswith(os.path.join("rectifiers", "solution.py"))
    assert softmax.__code__.co_filename.endswith(os.path.join("softmax", "solution.py"))


# -- the capstone ------------------------------------------------------------------------------------------------------


def test_step_that_needs_no_seed_runs_once():
    answer, calls = Answer(None, "path"), []
    answer.seed = 0
    first = once(answer, "slow", lambda: calls.append(answer.seed))
    answer.seed = 1
    assert once(answer, "slow", lambda: calls.append(answer.seed)) is first and calls == [0]
    once(answer, "other", lambda: calls.append(answer.seed))
    assert calls == [0, 1]


def test_recursion_limit_of_a_file_ends_with_it():
    before = sys.getrecursionlimit()
    grade(SIGMOID, "raised.py", text=f"{ANSWER}\nimport sys\nsys.setrecursionlimit(10**6)\n")
    assert sys.getrecursionlimit() == before


def test_engine_of_many_tensors_in_a_row_works_and_is_freed(no_gc):
    """The solution: neither the pass nor the end of the graph overflows the stack."""
    tensor = runpy.run_path(str(EXERCISES["engine"].folder / "solution.py"))["Tensor"]
    x = y = tensor(1.0)
    for _ in range(100_000):
        y = y + x
    y.backward()
    assert x.grad == 100_001
    watch = weakref.ref(y)
    del y
    assert watch() is None


def answer_of_op(tmp_path, checkout, number=-4.0):
    path = tmp_path / "op.py"
    path.write_text(f"CHECKOUT = {checkout!r}\nJUMP = {number!r}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("checkout, expected", [
    ("nowhere", "there is no folder"), (".", "is no checkout of microtensor: it has no setup.py"),
    (3, "CHECKOUT is int, and should be the path of a folder"),
])
def test_op_without_a_checkout_is_told_so(tmp_path, checkout, expected):
    text = " ".join(str(grade_in_child(EXERCISES["op"], answer_of_op(tmp_path, checkout))).split())
    assert expected in text and "JUMP ok" in text


@POSIX
def test_op_without_a_compiler_is_told_so(tmp_path, monkeypatch):
    pytest.importorskip("Cython")
    monkeypatch.setenv("CC", "nonexistent")
    path = answer_of_op(tmp_path, str(Path(__file__).parents[1]), 4)
    text = " ".join(str(grade_in_child(EXERCISES["op"], path)).split())
    assert "nonexistent cannot compile for this Python" in text and "JUMP has the wrong sign" in text, text


def test_solution_of_op_is_a_patch(course, capsys):
    code, text = said(capsys, "solution", "op", "--anyway")
    assert code == 0 and "JUMP = -4.0" in text and "\n+cdef void softsign_backward(" in text


def test_patches_are_left_out_without_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(verify_module, "ROOT", tmp_path)
    proof = verify(EXERCISES["op"])
    assert not proof.failures and "takes git and a checkout" in proof.left_out


def test_patch_that_is_stale_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "setup.py").touch()
    monkeypatch.setattr(verify_module, "ROOT", tmp_path)
    proof = verify(EXERCISES["op"], plants=False)
    assert "solution.patch does not apply" in proof.failures[-1] and len(proof.failures) == proof.wrong + 1
