"""Speed and accuracy of linfcourse, always beside a named peer in the same run: `make bench`."""
