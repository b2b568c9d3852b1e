"""One check per file; each has ``check(sheet) -> Iterator[Finding]``."""
