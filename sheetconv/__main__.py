"""`python -m sheetconv` is the command `sheetconv`."""

from sheetconv.cli import main

if __name__ == "__main__":
    main(prog_name="sheetconv")
