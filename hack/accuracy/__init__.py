"""How well sizing agrees with published measurements: `python -m hack.accuracy`.

`measurements.csv` holds numbers that others published, one a line, each with its source. `table`
reads it, `facts` reads its columns, and `schema` decides which lines can be compared with a
prediction. `models` and `engines` say what was run, `predict` asks the product, and `compare` puts
both side by side. `scores` has the rules and figures, `calibration` the constants, `page` and
`listing` what is written.
"""
