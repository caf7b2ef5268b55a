"""`make bench-lineage`: labelled pairs of model files, made here, and what the comparison of weights says of them.

`build` makes the families (in an environment with torch), `judge` compares the files (in the hub's own), `page` writes
the section of docs/benchmarks.md. Labels follow from how a file was made; only files enter a comparison.
"""
