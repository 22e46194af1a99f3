"""What `check_processes` starts: fingerprints of scenario files, printed."""

import sys

from marl_inv.testing.processes import print_fingerprints

print_fingerprints(*sys.argv[1:])
