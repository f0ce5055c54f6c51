"""Write the front page's figure to turn, which book/index.md includes: the page is no notebook.

    python tools/title_explorable.py book/turn_the_valley.html

Where scripts run it takes the place of the still picture, which is drawn of the same runs
(tools/title_picture.py); elsewhere that one stays.
"""

import sys
from pathlib import Path

from linfcourse.explorables import front_page

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(front_page.figure().html + "\n", encoding="utf-8")
