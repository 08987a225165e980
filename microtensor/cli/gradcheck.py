"""``microtensor gradcheck`` prints the ledger of all that is verified, writes it as a page, or checks that page."""

import sys

from microtensor.gradcheck import ledger


def run(options):
    """Print the ledger, write it as a page, or check that page; fail if a row fails or is stale."""
    try:
        if options.check is not None:
            found = ledger.differences_from(options.check.read_text())
            print("\n".join(found) or f"{options.check} is up to date")
            return 1 if found else 0
        if options.write is not None:
            text = ledger.page(options.seed)
            options.write.write_text(text)
            print(f"wrote {options.write}")
            return 0
        return 0 if ledger.print_ledger(options.op, options.seed) else 1
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        options.parser.error(str(error))
