"""Who catches what: ``python tests/wrong_gradients [--second] [--seeds 100] [--write docs/gradcheck.md]``."""

import argparse
import sys
import warnings
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])        # so that this folder is the package wrong_gradients

from wrong_gradients import CORPUS, RIGHT, measure  # noqa: E402
from wrong_gradients.peers import available, refuses  # noqa: E402

BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
HINTS_BEGIN, HINTS_END = "<!-- hints: begin -->\n", "<!-- hints: end -->\n"


def peer_counts(entry, peers, seeds):
    """How many seeds each peer accepts; None if it cannot be asked."""
    counts = []
    for accepts in peers.values():
        if accepts is None or entry.kind != "function":
            counts.append(None)
            continue
        counts.append(sum(not refuses(accepts, entry.make, seed) for seed in range(seeds)))
    return counts


def table(entries, seeds, peers, is_wrong):
    """Lines of a table of how many seeds each checker decides rightly, and whether microtensor did in all."""
    title = "wrong gradient, caught in % of seeds" if is_wrong else "right gradient, false alarms in % of seeds"
    head = [title, "microtensor", *(["hint", "named"] if is_wrong else []), *peers]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    totals, named_total = [], 0
    for entry in entries:
        reports = [entry.check(seed) for seed in range(seeds)]
        refused = sum(not report for report in reports)
        named = sum(bool(report.hints) and report.hints[0].key in entry.hints for report in reports)
        accepted = peer_counts(entry, peers, seeds)
        found = [refused, *[None if count is None else seeds - count for count in accepted]]
        totals.append(found)
        named_total += named
        share = [("-" if count is None else f"{100 * count / seeds:.0f}") for count in found]
        hint = [", ".join(entry.hints), f"{100 * named / seeds:.0f}"] if is_wrong else []
        lines.append("| " + " | ".join([entry.name, share[0], *hint, *share[1:]]) + " |")
        print(lines[-1], flush=True)
    sums = []
    for column in zip(*totals, strict=True):
        asked = [count for count in column if count is not None]
        sums.append(f"**{100 * sum(asked) / (seeds * len(asked)):.1f}**" if asked else "not installed")
    hint = ["", f"**{100 * named_total / seeds / len(entries):.1f}**"] if is_wrong else []
    lines.append("| " + " | ".join([f"**all {len(entries)}**", sums[0], *hint, *sums[1:]]) + " |")
    print(lines[-1], flush=True)
    decided = sum(row[0] for row in totals)
    return lines, decided == (seeds * len(entries) if is_wrong else 0)


def put(page, begin, end, lines):
    """Replace what stands between two markers of a page."""
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(before + begin + "\n".join(["", *lines, ""]) + end + after)


def main():
    """Print the tables, write them between the markers of a page, and fail if one gradient was decided wrongly."""
    parser = argparse.ArgumentParser(prog="python tests/wrong_gradients", description=__doc__)
    parser.add_argument("--second", action="store_true", help="the second corpus: by family, and what hints are worth")
    parser.add_argument("--seeds", type=int, default=None, help="by default 100, for the second corpus 2")
    parser.add_argument("--mutants", type=int, default=20, help="of each pair of the second corpus, by default 20")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page that holds the tables between markers")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    peers = available()
    if options.second:
        seeds = options.seeds or 2
        found = measure.outcomes_of_slips(seeds)
        lines = measure.table(found, seeds, {name: peers[name] for name in ("PyTorch gradcheck", "central difference")})
        lines += ["", *measure.table_of_mutants(found, options.mutants)]
        print("\n".join(lines))
        if options.write is not None:
            last = f"\nIn percent, over {seeds} seeds each; {options.mutants} edits of each pair."
            put(options.write, HINTS_BEGIN, HINTS_END, [*lines, last])
        return 0
    seeds = options.seeds or 100
    wrong, all_caught = table(CORPUS, seeds, peers, True)
    right, no_alarm = table(RIGHT, seeds, peers, False)
    if options.write is not None:
        put(options.write, BEGIN, END, [*wrong, "", *right, f"\nOver {seeds} seeds each."])
    return 0 if all_caught and no_alarm else 1


if __name__ == "__main__":
    sys.exit(main())
