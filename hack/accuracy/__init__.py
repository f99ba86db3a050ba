"""How well sizing agrees with published measurements: `python -m hack.accuracy`.

`measurements.csv` holds numbers that others published, one a line, each with its source. `table`
reads it, `schema` decides which lines can be compared with a prediction, `models` and `engines` say
what was run, `predict` asks the product, `scores`, `calibration` and `page` say how it went.
"""
