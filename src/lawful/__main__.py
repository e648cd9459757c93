"""`python -m lawful` is the command `lawful`."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C while modules are imported: no traceback; main has its own

from lawful.cli import main

if __name__ == "__main__":
    main()
