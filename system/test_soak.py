"""Two minutes of what `system/soak --minutes 60` does for an hour."""
import os

from runner import test
from soak import soak


@test
def two_minutes_of_everything(lab):
    soak(lab, float(os.environ.get("MERLON_SOAK_SECONDS", "120")), int(os.environ.get("MERLON_SOAK_SEED", "7296")))
