"""The figures that a reader can turn, one module for each chapter that has one, and the front page.

Each module has its controls, one function for each table (the library computes its rows for one
setting of the controls), the charts, and `figure()`, which the chapter's cell shows
(the front page, which is no notebook, includes what tools/title_explorable.py wrote).
"""

CHAPTERS = (
    "front_page",
    "chapter_01",
    "chapter_02",
    "chapter_03",
    "chapter_04",
    "chapter_05",
    "chapter_06",
    "chapter_07",
    "chapter_08",
    "chapter_09",
    "chapter_10",
    "chapter_11",
    "chapter_12",
    "chapter_13",
    "chapter_14",
    "chapter_15",
    "chapter_16",
    "chapter_17",
)
