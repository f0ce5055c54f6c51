"""`python -m linfcourse`, and `torchrun --nproc_per_node=N -m linfcourse`: the command line."""

from linfcourse.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
