"""Writes scenarios.json: programs that any host can run, and what must come of them.

usage: make.py [SEED…]

README.md beside this file says what the steps mean and what is checked. The model here knows nothing of wires or
turns: what a promise becomes follows from what it depends on.
"""

import json
import pathlib
import random
import sys

# So many of each seed. (What the second brings to light took the longest to find.)
SCENARIOS = 36
SEEDS = ["marotte", "owna"]
STEPS = 70
ROOT = 0


class Scenario:
    """Its steps, and the model: for each slot, a function that tells what it becomes. A slot depends
    on earlier ones only, so that nothing waits for itself."""

    def __init__(self, name, rng):
        self.name = name
        self.rng = rng
        self.steps = []
        self.becomes = [lambda: ("far", ROOT)]
        self.known = {}
        # Slots that the client still holds; slots that are still to be resolved, and how.
        self.held = [ROOT]
        self.open = []
        self.resolved = {}
        self.numbers = 0
        self.numeric = set()

    def add(self, step, becomes):
        slot = len(self.becomes)
        self.steps.append({**step, "into": slot})
        self.becomes.append(becomes)
        self.held.append(slot)

    def any_slot(self, below=None):
        held = [slot for slot in self.held if below is None or slot < below]
        if self.rng.random() < 0.85:
            # Numbers take no messages.
            held = [slot for slot in held if slot not in self.numeric]
        # Recent ones are the interesting ones.
        return self.rng.choice(held[-8:] if self.rng.random() < 0.7 else held)

    def outcome(self, slot):
        if slot not in self.known:
            self.known[slot] = self.becomes[slot]()
        return self.known[slot]

    def answer(self, slot, answer):
        """What a call to a slot becomes."""

        def becomes():
            kind, what = self.outcome(slot)
            if kind == "broken":
                return kind, what
            return ("broken", "plain data") if kind == "value" else answer(kind)

        return becomes

    # Steps.

    def note(self):
        self.numbers += 1
        number, slot = self.numbers, self.any_slot()
        step = {"do": "note", "on": slot, "number": number}
        if self.rng.random() < 0.25:
            self.steps.append({**step, "into": None})
        else:
            self.numeric.add(len(self.becomes))
            self.add(step, self.answer(slot, lambda _: ("value", number)))

    def child(self):
        slot, new = self.any_slot(), len(self.becomes)
        # An object has its children where it lives.
        self.add({"do": "child", "on": slot}, self.answer(slot, lambda kind: (kind, new)))

    def fail(self):
        slot = self.any_slot()
        self.add({"do": "fail", "on": slot}, self.answer(slot, lambda _: ("broken", "no luck")))

    def echo(self):
        slot, given = self.any_slot(), self.any_slot()
        step = {"do": "echo", "on": slot, "give": given}
        self.add(step, self.answer(slot, lambda _: self.outcome(given)))

    def node(self):
        slot = len(self.becomes)
        self.add({"do": "node"}, lambda: ("mine", slot))

    def open_one(self, do):
        slot = len(self.becomes)
        self.add({"do": do}, lambda: self.resolved[slot]())
        self.open.append((do, slot))

    def later(self):
        self.open_one("later")

    def make(self):
        self.open_one("make")

    def resolve(self):
        if not self.open:
            return
        do, slot = self.open.pop(self.rng.randrange(len(self.open)))
        how = self.rng.choice(["break", "value", "to", "to", "to"])
        step = {"do": "resolve" if do == "make" else "release", "slot": slot, "how": how}
        if how == "to":
            to = step["to"] = self.any_slot(below=slot)
            self.resolved[slot] = lambda: self.outcome(to)
        elif how == "value":
            self.resolved[slot] = lambda: ("value", slot)
        else:
            self.resolved[slot] = lambda: ("broken", f"smashed {slot}")
        self.steps.append(step)

    def drop(self):
        if len(self.held) > 6:
            slot = self.rng.choice(self.held[1:])
            self.held.remove(slot)
            self.steps.append({"do": "drop", "slot": slot})

    def pause(self):
        self.steps.append({"do": "pause", "ms": self.rng.choice([0, 1, 2, 5])})

    def written(self, is_cut):
        ways = [self.note] * 12 + [self.child] * 4 + [self.echo] * 5 + [self.later] * 3
        ways += [self.make] * 3 + [self.node] * 2 + [self.resolve] * 5 + [self.drop] * 3
        ways += [self.pause] * 3 + [self.fail]
        while len(self.steps) < STEPS:
            self.rng.choice(ways)()
        while self.open:
            self.resolve()
        expected = (self.outcome(slot) for slot in range(len(self.becomes)))
        return {
            "name": self.name,
            "delays_ms": [self.rng.choice([0, 0, 0, 1, 2, 4]) for _ in range(31)],
            "cut_before": self.rng.randrange(5, len(self.steps)) if is_cut else None,
            "steps": self.steps,
            "expected": [f"{kind}:{what}" for kind, what in expected],
        }


def main():
    made = []
    for seed in sys.argv[1:] or SEEDS:
        for number in range(SCENARIOS):
            name = f"{seed}/{number}"
            made.append(Scenario(name, random.Random(name)).written(is_cut=number % 2 == 1))
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in made)
    pathlib.Path(__file__).with_name("scenarios.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
