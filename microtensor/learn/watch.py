"""``microtensor learn watch``: show the result of one exercise, and check it again whenever its file is saved."""

import contextlib
import hashlib
import os
import select
import signal
import sys
import time

from microtensor.learn.attempt import attempt
from microtensor.learn.course import EXERCISES, beside
from microtensor.learn.screens import Screen

POLL = 0.1              # seconds between looks at the file
KEYS = "n next   b back   h hint   l list   x reset   q quit"


def watch(workspace, exercise):
    """Stay at an exercise until the learner goes on or quits; nothing moves on by itself.

    Args:
        workspace: the Workspace.
        exercise: the one to begin with.
    """
    with Keys() as keys:
        screen = Watch(workspace, exercise, keys)
        while screen.wait():
            pass


class Watch:
    """What is watched, and what is shown of it."""

    def __init__(self, workspace, exercise, keys):
        self.workspace, self.exercise, self.keys = workspace, exercise, keys
        self.content = None     # the hash of what was graded last
        self.screen, self.lines = Screen(), None

    def wait(self):
        """Wait for a key or a save, and do what it asks for; False to stop."""
        content = content_of(self.workspace.path(self.exercise))
        if content != self.content:
            time.sleep(POLL / 2)                        # an editor may be in the middle of saving
            if content == content_of(self.workspace.path(self.exercise)):
                self.content = content
                self.grade()
        if self.lines and self.screen.width != Screen().width:
            self.show(self.lines)
        key = self.keys.read(POLL)
        act = {"n": lambda: self.move(1), "b": lambda: self.move(-1), "h": self.hint, "l": self.course, "x": self.reset,
               "q": lambda: False, "\x04": lambda: False}.get(key)
        return act() is not False if act else True

    def show(self, lines):
        """Show the lines that a function gives for a Screen, and what the keys do; again if the window is resized."""
        self.screen, self.lines = Screen(), lines
        if self.screen.colours:
            print("\033[2J\033[H", end="")
        print("\n".join(lines(self.screen)))
        print(self.screen.paint(f"\n{KEYS}" if self.keys.work else "\nCtrl-C stops", "grey"), flush=True)

    def say(self, text):
        """Show a sentence."""
        self.show(lambda screen: screen.wrapped(text, 0))

    def grade(self):
        """Check the file, and show the result."""
        if self.content is None:
            self.say(f"{self.workspace.path(self.exercise)} is missing: save it again, or x writes the task there")
            return
        print(self.screen.paint(f"checking ... (at most {self.exercise.seconds:g} s)", "grey"), flush=True)
        try:
            result = attempt(self.exercise.name, workspace=self.workspace)
        except OSError as error:
            self.say(f"{error}: save it again")
        else:
            self.show(lambda screen: screen.result(result))

    def move(self, step):
        """Go to the next exercise, or back."""
        found = beside(self.exercise, step)
        if found is not None:
            self.workspace.begin(found)
            self.exercise, self.content = found, ""
        else:
            states = {name: self.workspace.state(exercise) for name, exercise in EXERCISES.items()}
            left = [name for name, state in states.items() if state != "done"]
            still = f"; not done yet: {', '.join(left)}" if left else ""
            self.say(f"this is the {'last' if step > 0 else 'first'} exercise{still}")

    def hint(self):
        """Show the next hint."""
        exercise, level = self.exercise, self.workspace.next_hint(self.exercise)
        self.show(lambda screen: screen.hint(exercise, level))

    def course(self):
        """Show the list."""
        self.show(lambda screen: screen.course(self.workspace))

    def reset(self):
        """Write the task again, if the learner means it."""
        self.say(f"write the task of {self.exercise.name} again? Your file is kept in .backup   (y/n)")
        while (key := self.keys.read(POLL)) is None:
            pass
        if key == "y":
            self.workspace.reset(self.exercise)
        self.content = ""


def content_of(path):
    """A hash of a file, None if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


class Keys:
    """Single keys of the terminal, as a context: its mode is put back at the end, however that comes.

    Attributes:
        work: whether keys can be read here; they cannot where there is no termios.
    """

    def __enter__(self):
        self.work, self.stack = False, contextlib.ExitStack()
        try:
            import termios
            import tty
        except ImportError:
            return self
        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
        self.stack.callback(termios.tcsetattr, handle, termios.TCSADRAIN, before)

        def stop(*_):
            raise SystemExit(143)

        def again(*_):
            tty.setcbreak(handle)

        for name, do in ((signal.SIGTERM, stop), (signal.SIGHUP, stop), (signal.SIGCONT, again)):
            self.stack.callback(signal.signal, name, signal.signal(name, do))
        tty.setcbreak(handle)
        self.work = True
        return self

    def __exit__(self, *_):
        self.stack.close()

    def read(self, seconds):
        """The key that is pressed within some seconds, or None; "\\x04" at the end of input."""
        if not self.work:
            time.sleep(seconds)
            return None
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return (os.read(sys.stdin.fileno(), 1).decode("ascii", "replace") or "\x04") if ready else None
