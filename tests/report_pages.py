"""Pages of the report as tests and benchmarks look at them: in a browser, and of as many faces as people have."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from batch.tables.publish import publish
from batch.tables.rows import Rows
from batch.tables.schema import IMAGES, SCHEMA_VERSION, faces_schema
from model.labels import EMOTIONS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FILTERING = """document.querySelector("#by-folder button").click(); // as many folders as it shows
const form = document.forms[0], times = {};
const changes = { surer: "50", after: "2015-01-01", larger: "300", folder: "sea 01", order: "name" };
for (const [name, value] of Object.entries(changes)) {
  form.elements[name].value = value;
  const tries = [1, 2, 3, 4, 5].map(() => {
    const begun = performance.now();
    form.oninput();
    document.body.offsetHeight; // lays the page out
    return performance.now() - begun;
  });
  times[name] = Math.min(...tries); // whatever else the machine does
}
return { times, found: document.getElementById("found").textContent,
  folders: document.querySelectorAll("#by-folder .name").length,
  elements: document.querySelectorAll("*").length };"""
"""Changes each of the filters, one after the other, and says how many milliseconds it took, and what is shown."""


def seen_by_browser(page: Path, script: str, *options: str) -> dict[str, object]:
    """What ``script`` says of the page once it is there: the JSON of the object that it returns."""
    write = "seen => document.getElementById('seen').textContent = JSON.stringify(seen)"
    answer = f"(async () => {{{script}}})().then({write});"
    probe = f"<pre id=seen></pre><script>{answer}</script></body>"
    looked_at = page.with_name(f"looked_at_{page.name}")
    looked_at.write_text(page.read_text("utf-8").replace("</body>", f"{probe}</script></body>"), "utf-8")
    always = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--allow-file-access-from-files",
    ]
    command = [str(CHROMIUM), *always, *options, "--dump-dom", looked_at.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    (text,) = re.findall(r'<pre id="seen">(\{.*?\})</pre>', done.stdout)
    return dict(json.loads(html.unescape(text)))


def many(output: Path, faces: int = 100_000, images: int = 60_000, folders: int = 8_400) -> Path:
    """An output of that size with paths of 65 characters; no photograph lies there."""
    rng = np.random.default_rng(0)
    names = [f"the holidays of {2010 + i % 12}/a day at the sea {i % folders:05d}" for i in range(images)]
    path = np.array([f"{name}/photo {i:06d}.jpg" for i, name in enumerate(names)])
    image = {
        "root": "/photos",
        "path": np.sort(path),
        "status": "ok",
        "error": None,
        "width": 4000,
        "height": 3000,
        "faces": 1,
        "taken_at": pd.to_datetime(rng.integers(1_262_304_000, 1_640_995_200, images), unit="s"),
        "size_bytes": 1,
        "modified_ns": 1,
        "annotated_at": pd.Timestamp("2026-01-01", tz="UTC"),
    }
    probabilities = rng.dirichlet(np.full(len(EMOTIONS), 0.3), faces)
    best = probabilities.argmax(axis=1)
    face = {
        "root": "/photos",
        "path": np.sort(rng.choice(path, faces)),
        "face": 0,
        **{name: rng.integers(20, 2000, faces) for name in ("x", "y", "width", "height")},
        "face_score": 0.9,
        "emotion": np.array(EMOTIONS)[best],
        "confidence": probabilities.max(axis=1),
        **{name: probabilities[:, i] for i, name in enumerate(EMOTIONS)},
        **dict.fromkeys(("sharpness", "brightness", "contrast"), 0.5),
        "touches_border": False,
    }
    output.mkdir()
    tables = [
        pa.Table.from_pandas(pd.DataFrame(table), schema=schema, preserve_index=False)
        for table, schema in ((image, IMAGES), (face, faces_schema(EMOTIONS)))
    ]
    publish(output, [Rows(*tables)], EMOTIONS, {"schema": SCHEMA_VERSION, "model": "none"}, 1, False)
    return output
