"""The tests mirror the package; `CONTRIBUTING.md` tells how to run them."""
