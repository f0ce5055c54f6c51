"""The first code cell of every chapter, written once; a test compares each chapter with it.

In a clone `import linfcourse` works and the cell does nothing. Where the library is missing (a
fresh Colab, say), the cell installs the one wheel whose address was stamped into it when the
notebook was published (`tools/stamp_notebooks.py`). It never installs by a bare package name:
nobody has registered one for this course, so a stranger could.
"""

UNSTAMPED = 'WHEEL = ""'

INSTALL_CELL = f"""\
# Installs the course's library where it is missing (in Colab, say); does nothing elsewhere.
{UNSTAMPED}  # the address of the wheel, filled in when the notebook is published
try:
    import linfcourse
except ModuleNotFoundError as missing:
    if missing.name != "linfcourse":
        raise
    if not WHEEL:
        raise ModuleNotFoundError(
            "linfcourse is not installed, and this copy of the notebook does not say where to get "
            "it. In a clone of the course run `make book` and choose the kernel of its .venv; in "
            "Colab open the notebook by the rocket button of the published book; elsewhere run "
            "`%pip install` with the path or the address of the course's wheel."
        ) from None
    import importlib
    import subprocess
    import sys

    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", WHEEL]).returncode:
        raise RuntimeError(
            f"pip could not install {{WHEEL}}. Is there a network? If so, download the wheel in a "
            "browser, upload it beside this notebook, and run `%pip install` with its file name."
        ) from None
    importlib.invalidate_caches()
    import linfcourse
"""
