"""`linfcourse run` on a tiny GPT whose process 1 is killed in the middle of a trial, if asked to.

torchrun --nproc_per_node=2 killed.py RECORDS CHECKPOINTS KILL_AT
"""

import os
import signal
import sys

from linfcourse import cli, distributed
from linfcourse.data import shakespeare
from linfcourse.experiments import rotated_gpt


class Text:
    """Shakespeare, whose batches kill process 1 at the given call."""

    vocab_size = shakespeare().vocab_size
    calls, kill_at = 0, 0

    def sampler(self, *arguments, **options):
        batches = shakespeare().sampler(*arguments, **options)

        def draw(step):
            Text.calls += 1
            if Text.calls == Text.kill_at and distributed.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return batches(step)

        return draw


def main(records, checkpoints, kill_at):
    Text.kill_at = int(kill_at)
    rotated_gpt.make_text = lambda config: Text()
    rotated_gpt.PRESETS["cpu"] = rotated_gpt.Config(
        methods=("adam", "rotated_adam"), lrs=(0.01,), seeds=(0,), n_layer=1, n_head=1, width=8,
        context=8, batch=4, steps=20, warmup=2, last=5, measured=(("adam", 0.01),),
        measure_every=10, probes=4, points=5, checkpoints=checkpoints,
    )  # fmt: skip
    return cli.main(["run", "rotated_gpt", "--folder", records])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
